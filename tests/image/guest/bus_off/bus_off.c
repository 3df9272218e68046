// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Lets a CAN controller go bus-off, which QEMU's cannot by themselves. Writing an interface's name to the parameter
 * `controller` does what the driver of an SJA1000 does when the chip reports bus-off, with the chip in reset mode, as
 * the data sheet has it: it hears and sends nothing until the kernel starts it again, restart-ms later.
 */
#include <linux/can/dev.h>
#include <linux/can/error.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>

/* Where a kvaser_pci has its first SJA1000, and there: the mode register and its reset bit. */
#define SJA1000_BAR 1
#define MODE 0
#define RESET 1

static int let_go(const char *name, const struct kernel_param *unused)
{
	char interface[IFNAMSIZ];
	struct net_device *device;
	struct can_frame *told;
	struct can_priv *can;
	struct sk_buff *frame;
	int result = 0;

	strscpy(interface, name, sizeof(interface));
	rtnl_lock();
	device = __dev_get_by_name(&init_net, strim(interface));
	if (!device || !device->dev.parent || !dev_is_pci(device->dev.parent)) {
		result = -ENODEV;
		goto out;
	}
	can = safe_candev_priv(device);
	if (!can || !netif_running(device)) {
		result = -ENETDOWN;
		goto out;
	}
	if (can->state == CAN_STATE_BUS_OFF)
		goto out;
	/*
	 * A controller goes bus-off over a frame that it does not get rid of, while the kernel hands it no other. One
	 * handed to it in reset mode would be written over its acceptance filter: nothing would be heard any more.
	 */
	netif_tx_disable(device);
	outb(RESET, pci_resource_start(to_pci_dev(device->dev.parent), SJA1000_BAR) + MODE);
	local_bh_disable();
	frame = alloc_can_err_skb(device, &told);
	can_change_state(device, frame ? told : NULL, CAN_STATE_BUS_OFF, CAN_STATE_BUS_OFF);
	can_bus_off(device);
	if (frame)
		netif_rx(frame);
	local_bh_enable();
out:
	rtnl_unlock();
	return result;
}

static const struct kernel_param_ops controller = { .set = let_go };

module_param_cb(controller, &controller, NULL, 0200);
MODULE_DESCRIPTION("Lets a CAN controller go bus-off");
MODULE_LICENSE("Dual MIT/GPL");
