language-name = 中文
decimal-mark = .
title = 充电站

evse = { $number } 号充电位
message = 运营商消息

state-free = 空闲
state-reserved = 已预约
state-plug-in = 请插枪
state-authorize = 请验证身份
state-preparing = 准备中
state-charging = 充电中
state-paused = 已暂停
state-stopping = 正在停止
state-finished = 已结束
state-fault = 故障
state-out-of-service = 停止服务
state-starting = 请稍候
state-away = 失去联系
state-absent = 无响应

hint-free = 请将充电枪插入车辆。
hint-reserved = 此充电位已被预约。如果是您预约的，请刷卡。
hint-plug-in = 您可以充电。请将充电枪插入车辆。
hint-authorize = 请刷卡，或用手机应用启动。
hint-authorize-start = 请按“开始充电”。
hint-card-early = 您现在就可以刷卡。
hint-preparing = 通电前会检查所有项目，大约需要半分钟。
hint-charging = 请保持充电枪插好。
hint-paused-vehicle = 车辆暂时不需要电流。车辆需要时充电会继续。
hint-paused-station = 充电站暂时没有可用功率。充电会自动继续。
hint-paused-limit = 运营商暂时不提供功率。充电会自动继续。
hint-stopping = 请等待电流切断。
hint-finished = 请拔下充电枪并挂好。
hint-fault = 请使用其他充电位，或致电求助。
hint-emergency = 急停按钮已被按下。请远离电缆并致电求助。
hint-live-cable = 请远离电缆，切勿触碰，并致电求助。
hint-cabinet = 请远离此充电位，切勿触碰，并致电求助。
hint-fault-plug = 请拔下充电枪后重试。如果仍然不行，请致电求助。
hint-out-of-service = 请使用其他充电位。
hint-starting = 此充电位正在自检。
hint-away = 屏幕与充电位失去联系。如果您的车辆没有在充电，请拔下充电枪并致电求助。
hint-absent = 此充电位没有响应。如果您的车辆没有在充电，请拔下充电枪并致电求助。

card-refused = 卡被拒绝。
card-not-accepted = 此卡不能在这里充电。请换一张卡，或咨询发卡方。
card-not-judged = 目前无法验证此卡。请重试，或换一张卡。
card-no-place = 目前无法在这里用此卡开始充电。

start = 开始充电
start-failed = 目前无法在这里开始充电。
enter-code = 输入密码
code-question = { $number } 号充电位的密码
code = 您的密码（4 至 12 位数字）
code-delete = 删除最后一位
code-send = 确认
code-failed = 无法验证密码。请重试，或用其他方式验证身份。
code-refused = 密码被拒绝。
code-wrong = 此密码不能在这里充电。请核对后重试。
code-too-many = 错误密码输入次数过多。请十分钟后重试，或用其他方式验证身份。

step-connecting = 与车辆通信
step-authorizing = 充电许可
step-parameters = 协商电压和电流
step-cable-check = 绝缘检测
step-pre-charge = 匹配电池电压
step-done = 已完成
step-now = 进行中
step-to-come = 待进行

power = 功率
energy = 电量
battery = 电池
time-left = 剩余时间
time-left-value = 约 { $minutes } 分钟充至 { $percent } %
cost-so-far = 目前费用
cost = 费用
from = 开始
to = 结束

price = 价格
price-per-kwh = 每千瓦时 { $amount }
price-per-minute = 每分钟 { $amount }
price-per-minute-after = 从第 { $minute } 分钟起每分钟 { $amount }
price-free = 免费充电。
price-contract = 签约用户按其服务商的价格计费。
price-unknown = 价格由您的服务商告知。

receipt = 您的充电
ended-by-vehicle = 由车辆结束。
ended-by-driver = 由您结束。
ended-by-operator = 由运营商结束。
ended-not-allowed = 您未获准充电。
ended-timeout = 车辆开始充电用时过长。
ended-incompatible = 车辆与此充电位不兼容。
ended-by-fault = 因故障结束：{ $code }
ended-otherwise = 充电已结束。

stop = 停止充电
stop-question = 停止 { $number } 号充电位的充电？
stop-yes = 是，停止
stop-no = 否，继续
stop-by-card = 如要停止，请再次刷卡。
stop-failed = 未能停止。请重试、在车辆上停止，或致电求助。
master-pass-question = 要停止哪个充电？
master-pass-all = 全部
master-pass-failed = 未停止任何充电。请再次刷卡。

help-line = 帮助
fault-code = 代码 { $code }
offline-page = 与充电站失去联系。正在进行的充电会继续。
offline-uplink = 充电站离线。它不认识的卡可能不被接受。
language = 语言
contrast = 白天或夜间
back = 返回
not-found = 没有此页面。
refused = 未被接受。
