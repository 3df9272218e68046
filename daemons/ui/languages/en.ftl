# What the screen at the charger says. Another language is a copy of this file under its own name, as
# pt.ftl, with the text after each = translated; what is left out is said in English.
language-name = English
# The mark before the decimals: . or ,
decimal-mark = .
title = Charging station

evse = Charge point { $number }
message = Message from the operator

state-free = Free
state-reserved = Reserved
state-plug-in = Plug in
state-authorize = Identify yourself
state-preparing = Preparing
state-charging = Charging
state-paused = Paused
state-stopping = Stopping
state-finished = Finished
state-fault = Out of order
state-out-of-service = Out of service
state-starting = One moment
state-away = No contact
state-absent = No answer

hint-free = Plug the cable into your vehicle.
hint-reserved = This charge point is held for somebody. If that is you, hold your card to the reader.
hint-plug-in = You may charge. Plug the cable into your vehicle.
hint-authorize = Hold your card to the reader, or start with your app.
hint-authorize-start = Press “Start charging”.
hint-card-early = You can hold your card to the reader already.
hint-preparing = Everything is checked before current flows. This takes about half a minute.
hint-charging = Leave the cable plugged in.
hint-paused-vehicle = Your vehicle takes no current just now. Charging goes on when it wants to.
hint-paused-station = The station has no power to spare just now. Charging goes on by itself.
hint-paused-limit = The operator gives no power just now. Charging goes on by itself.
hint-stopping = Please wait until the current is off.
hint-finished = Unplug the cable and hang it up.
hint-fault = Please use another charge point, or call for help.
hint-emergency = The emergency stop was pressed. Keep away from the cable and call for help.
hint-live-cable = Keep away from the cable and do not touch it. Call for help.
hint-cabinet = Keep away from this charge point and do not touch it. Call for help.
hint-fault-plug = Unplug the cable and try again. If it does not help, call for help.
hint-out-of-service = Please use another charge point.
hint-starting = This charge point is checking itself.
hint-away = This screen has no contact with the charge point. If your vehicle does not charge, unplug it and call for help.
hint-absent = This charge point does not answer. If your vehicle does not charge, unplug it and call for help.

card-refused = Card refused.
card-not-accepted = This card may not charge here. Please try another one, or ask whoever gave it to you.
card-not-judged = It cannot be checked right now. Please try again, or use another card.
card-no-place = No charge can be started here with it now.

start = Start charging
start-failed = No charge can be started here now.
enter-code = Enter a code
code-question = Code for charge point { $number }
code = Your code, 4 to 12 digits
code-delete = Delete the last digit
code-send = Confirm
code-failed = The code could not be checked. Try again, or identify yourself in another way.
code-refused = Code refused.
code-wrong = It may not charge here. Check it, and try again.
code-too-many = Too many wrong codes were entered. Try again in ten minutes, or identify yourself in another way.

step-connecting = Talking to the vehicle
step-authorizing = Permission to charge
step-parameters = Agreeing on voltage and current
step-cable-check = Testing the insulation
step-pre-charge = Matching the battery's voltage
step-done = done
step-now = now
step-to-come = to come

power = Power
energy = Energy
battery = Battery
time-left = Time left
time-left-value = about { $minutes } min to { $percent } %
cost-so-far = Cost so far
cost = Cost
from = From
to = To

price = Price
price-per-kwh = { $amount } per kWh
price-per-minute = { $amount } per minute
price-per-minute-after = { $amount } per minute from minute { $minute } on
price-free = Charging is free.
price-contract = With a contract your provider's price holds.
price-unknown = Your provider tells you the price.

receipt = Your charge
ended-by-vehicle = Ended by your vehicle.
ended-by-driver = Ended by you.
ended-by-operator = Ended by the operator.
ended-not-allowed = You were not allowed to charge.
ended-timeout = Your vehicle took too long to begin.
ended-incompatible = Your vehicle and this charge point do not fit together.
ended-by-fault = Ended because of a fault: { $code }
ended-otherwise = The charge is over.

stop = Stop charging
stop-question = Stop charging at charge point { $number }?
stop-yes = Yes, stop
stop-no = No, go on
stop-by-card = To stop, hold your card to the reader again.
stop-failed = It did not stop. Try again, stop at your vehicle, or call for help.
master-pass-question = Which charge is to be stopped?
master-pass-all = All of them
master-pass-failed = Nothing was stopped. Show the pass again.

help-line = Help
fault-code = Code { $code }
offline-page = No contact with the station. A charge under way goes on.
offline-uplink = The station is offline. Cards that it does not know may not be accepted.
language = Language
contrast = Day or night
back = Back
not-found = There is no such page.
refused = This was not accepted.
