// The technician's page before a simulated station, in Debian's Chromium.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { join } from 'node:path';
import { accessible, close, open as openAt } from './checks.mjs';
import { Station, TechniciansPage, browse, patience, pictures } from './station.mjs';

const topology = `
name = "Harbour"
[[evse]]
monitor_pace = 10
vehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }
`;
// Hashed by Python's argon2-cffi, of `ROLE this`.
const accounts = `
[anna]
role = "view"
password = "$argon2id$v=19$m=1024,t=2,p=1$cryivdH1ipkTqZFud4sivQ$tNQl5JSSBt6Mb2TRIKwuSQHO8j7lASGf+B1pXMbldy4"
[cleo]
role = "configure"
password = "$argon2id$v=19$m=1024,t=2,p=1$UbzRwkm/Ou+KtzvEcGkhxA$GdLbocwp4kBxCYAY78Kpnmut3bzLa8P4jD+E9Q4h/gc"
`;

let station, server, browser;
before(async () => {
  station = await Station.start(topology, { screen: false });
  server = await TechniciansPage.start(station, accounts);
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server?.end();
  await station?.end();
});

// What one test leaves plugged in is no matter of the next.
afterEach(() => station.say('unplug 1').catch(() => {}));

const open = () => openAt(browser, server.url, { ignoreHTTPSErrors: true });
const login = async (page, name, password) => {
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
};
const state = (page, state) => page.locator(`[data-evse="1"][data-state="${state}"]`).waitFor();
const picture = (page, name) => page.screenshot({ path: join(pictures, `technician-${name}.png`) });

test('a technician sees why a charge failed, and clears it', { timeout: 4 * patience }, async () => {
  const page = await open();
  assert.match(page.url(), /\/login$/);
  await accessible(page, 'login');
  await login(page, 'cleo', 'a guess');
  await page.getByRole('alert').waitFor();
  await login(page, 'cleo', 'configure this');
  await state(page, 'available');
  await station.say('plug 1');
  await state(page, 'charging');
  await page.locator('[data-evse="1"] tr', { hasText: /Delivered\s*[1-9][0-9.]* kW/ }).waitFor();
  await page.locator('figcaption', { hasText: /°C: the hottest of connector/ }).waitFor();
  await picture(page, 'charging');
  await accessible(page, 'charging');
  await station.say('fault module-dead 1');
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.locator('[data-device="power_supply/1"]', { hasText: 'silent' }).waitFor();
  await picture(page, 'devices');
  await accessible(page, 'devices');
  await station.say('clear module-dead 1');
  await page.getByRole('link', { name: 'Station' }).click();
  await station.say('fault emergency-stop 1');
  await page.locator('.fault', { hasText: 'MREC8EmergencyStop' }).first().click();
  await page.locator('.fault[open]', { hasText: 'What to look at' }).first().waitFor();
  await picture(page, 'fault');
  await accessible(page, 'fault');
  await station.say('clear emergency-stop 1');
  await station.say('unplug 1');
  for (let tries = 0; await page.locator('[data-evse="1"][data-state="available"]').count() === 0; tries += 1) {
    assert.ok(tries < 20, 'the fault does not clear');
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Clear faults' }).click();
    await page.locator('[data-evse="1"], .question').first().waitFor();
  }
  await page.goto(`${server.url}/sessions`);
  await page.getByRole('link', { name: '1', exact: true }).click();
  await page.getByRole('heading', { name: 'What happened' }).waitFor();
  await page.locator('.why', { hasText: /emergency stop/i }).waitFor();
  await picture(page, 'session');
  await accessible(page, 'session');
  await page.getByRole('main').getByRole('link', { name: /^20/ }).first().click();
  await page.getByRole('cell', { name: 'SessionSetupReq' }).first().waitFor();
  await picture(page, 'messages');
  await accessible(page, 'messages');
  await page.goBack();
  await page.getByRole('link', { name: 'All of it on one time line' }).click();
  await page.locator('.timeline .fault', { hasText: 'MREC8EmergencyStop' }).first().waitFor({ state: 'attached' });
  await picture(page, 'timeline');
  await accessible(page, 'time line');
  await page.getByRole('link', { name: 'Only charging' }).first().click();
  await page.waitForURL(/from=\d+&to=\d+$/);
  await page.getByRole('link', { name: 'Nearer' }).click();
  await page.getByRole('link', { name: 'Earlier' }).waitFor();
  await picture(page, 'timeline-nearer');
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'CSV' }).click();
  assert.match((await saved).suggestedFilename(), /^session-\d+\.csv$/);
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('reading_interval').fill('never');
  await page.getByRole('row', { name: 'reading_interval' }).getByRole('button', { name: 'Save' }).click();
  await page.getByRole('alert').filter({ hasText: 'reading_interval' }).waitFor();
  await accessible(page, 'settings');
  await page.getByRole('link', { name: 'Audit trail' }).click();
  const trail = await page.locator('main').innerText();
  assert.match(trail, /setting reading_interval[^]*clear-faults EVSE 1: done[^]*logs in[^]*wrong password/);
  await picture(page, 'audit');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Password').waitFor();
  await page.goto(`${server.url}/audit`);
  assert.match(page.url(), /\/login$/);
  await close(page);
});

test('an EVSE checks itself, and the modules only when somebody answers for it', { timeout: 4 * patience }, async () => {
  const page = await open();
  await login(page, 'cleo', 'configure this');
  await state(page, 'available');
  await page.getByRole('link', { name: 'Self-test' }).click();
  await page.getByRole('checkbox', { name: /nobody is in the cabinet/ }).check();
  await page.getByRole('button', { name: 'Begin with EVSE 1' }).click();
  await page.locator('[data-selftest=running]').waitFor();
  await page.locator('[data-selftest=over]').waitFor();
  await page.getByRole('row', { name: /^modules/ }).getByRole('cell', { name: 'passed' }).waitFor();
  assert.match(await page.getByRole('status').innerText(), /no check failed/);
  await picture(page, 'selftest');
  await accessible(page, 'selftest');
  await page.getByRole('link', { name: 'Station' }).click();
  await state(page, 'available');
  await close(page);
});

test('a mistake in the configuration is shown at its line', { timeout: 2 * patience }, async () => {
  const page = await open();
  await login(page, 'cleo', 'configure this');
  await page.getByRole('link', { name: 'Configuration' }).click();
  const text = page.getByRole('textbox', { name: /voltry.toml/ });
  await accessible(page, 'configuration');
  const good = await text.inputValue();
  await text.fill(good.replace('kiosk', 'kisok'));
  await page.getByRole('button', { name: 'Check and save' }).click();
  await page.getByRole('alert').filter({ hasText: /line 2: .*kisok/ }).waitFor();
  await picture(page, 'configuration');
  await accessible(page, 'a mistake in it');
  await text.fill(good);
  await page.getByRole('button', { name: 'Check and save' }).click();
  await page.getByRole('alert').filter({ hasText: 'Saved.' }).waitFor();
  await page.getByRole('link', { name: 'Logs' }).click();
  await page.getByRole('heading', { name: 'Logs' }).waitFor();
  await accessible(page, 'logs');
  await close(page);
});

test('whoever may only look is offered nothing else', { timeout: patience }, async () => {
  const page = await open();
  await login(page, 'anna', 'view this');
  await state(page, 'available');
  assert.equal(await page.getByRole('button', { name: 'Stop the session' }).count(), 0);
  assert.deepEqual(await page.getByRole('navigation').getByRole('link').allInnerTexts(), ['Station', 'Devices', 'Sessions', 'Time lines']);
  assert.equal((await page.goto(`${server.url}/settings`)).status(), 403);
  await close(page);
});

test('passwords are not to be guessed', { timeout: patience }, async () => {
  const page = await open();
  for (let tries = 0; tries < 5; tries += 1) {
    await login(page, 'anna', `guess ${tries}`);
    await page.getByRole('alert').waitFor();
  }
  await login(page, 'anna', 'view this');
  await page.getByRole('alert').filter({ hasText: 'Too many wrong passwords' }).waitFor();
  await close(page);
});
