language-name = Nederlands
decimal-mark = ,
title = Laadstation

evse = Laadpunt { $number }
message = Bericht van de beheerder

state-free = Vrij
state-reserved = Gereserveerd
state-plug-in = Aansluiten
state-authorize = Meld u aan
state-preparing = Voorbereiden
state-charging = Aan het laden
state-paused = Pauze
state-stopping = Wordt gestopt
state-finished = Klaar
state-fault = Storing
state-out-of-service = Buiten dienst
state-starting = Een ogenblik
state-away = Geen contact
state-absent = Geen antwoord

hint-free = Steek de kabel in uw voertuig.
hint-reserved = Dit laadpunt is gereserveerd. Is het voor u, houd dan uw pas bij de lezer.
hint-plug-in = U mag laden. Steek de kabel in uw voertuig.
hint-authorize = Houd uw pas bij de lezer, of start met uw app.
hint-authorize-start = Druk op ‘Laden starten’.
hint-card-early = U kunt uw pas al bij de lezer houden.
hint-preparing = Alles wordt gecontroleerd voordat er stroom loopt. Dit duurt ongeveer een halve minuut.
hint-charging = Laat de kabel aangesloten.
hint-paused-vehicle = Uw voertuig neemt nu geen stroom. Het laden gaat verder wanneer het dat wil.
hint-paused-station = Het station heeft nu geen vermogen over. Het laden gaat vanzelf verder.
hint-paused-limit = De beheerder geeft nu geen vermogen. Het laden gaat vanzelf verder.
hint-stopping = Wacht tot de stroom uit is.
hint-finished = Trek de kabel los en hang hem op.
hint-fault = Gebruik een ander laadpunt, of bel voor hulp.
hint-emergency = De noodstop is ingedrukt. Blijf weg van de kabel en bel voor hulp.
hint-live-cable = Blijf weg van de kabel en raak hem niet aan. Bel voor hulp.
hint-cabinet = Blijf weg van dit laadpunt en raak het niet aan. Bel voor hulp.
hint-fault-plug = Trek de kabel los en probeer het opnieuw. Helpt dat niet, bel dan voor hulp.
hint-out-of-service = Gebruik een ander laadpunt.
hint-starting = Dit laadpunt controleert zichzelf.
hint-away = Dit scherm heeft geen contact met het laadpunt. Laadt uw voertuig niet, trek dan de kabel los en bel voor hulp.
hint-absent = Dit laadpunt antwoordt niet. Laadt uw voertuig niet, trek dan de kabel los en bel voor hulp.

card-refused = Pas geweigerd.
card-not-accepted = Met deze pas kunt u hier niet laden. Probeer een andere, of vraag het de uitgever van de pas.
card-not-judged = De pas kan nu niet worden gecontroleerd. Probeer het opnieuw of gebruik een andere pas.
card-no-place = Hier kan nu geen laadbeurt met deze pas beginnen.

start = Laden starten
start-failed = Hier kan nu geen laadbeurt beginnen.
enter-code = Code invoeren
code-question = Code voor laadpunt { $number }
code = Uw code, 4 tot 12 cijfers
code-delete = Laatste cijfer wissen
code-send = Bevestigen
code-failed = De code kon niet worden gecontroleerd. Probeer het opnieuw of meld u op een andere manier aan.
code-refused = Code geweigerd.
code-wrong = Met deze code kunt u hier niet laden. Controleer hem en probeer het opnieuw.
code-too-many = Er zijn te veel verkeerde codes ingevoerd. Probeer het over tien minuten opnieuw of meld u op een andere manier aan.

step-connecting = Gesprek met het voertuig
step-authorizing = Toestemming om te laden
step-parameters = Spanning en stroom afspreken
step-cable-check = Isolatie testen
step-pre-charge = Gelijkmaken aan de accuspanning
step-done = klaar
step-now = nu
step-to-come = komt nog

power = Vermogen
energy = Energie
battery = Accu
time-left = Resterende tijd
time-left-value = ongeveer { $minutes } min tot { $percent } %
cost-so-far = Kosten tot nu toe
cost = Kosten
from = Van
to = Tot

price = Prijs
price-per-kwh = { $amount } per kWh
price-per-minute = { $amount } per minuut
price-per-minute-after = { $amount } per minuut vanaf minuut { $minute }
price-free = Laden is gratis.
price-contract = Met een contract geldt de prijs van uw aanbieder.
price-unknown = Uw aanbieder vertelt u de prijs.

receipt = Uw laadbeurt
ended-by-vehicle = Beëindigd door uw voertuig.
ended-by-driver = Beëindigd door u.
ended-by-operator = Beëindigd door de beheerder.
ended-not-allowed = U mocht niet laden.
ended-timeout = Uw voertuig deed er te lang over om te beginnen.
ended-incompatible = Uw voertuig en dit laadpunt passen niet bij elkaar.
ended-by-fault = Beëindigd door een storing: { $code }
ended-otherwise = De laadbeurt is voorbij.

stop = Laden stoppen
stop-question = Laden bij laadpunt { $number } stoppen?
stop-yes = Ja, stoppen
stop-no = Nee, doorgaan
stop-by-card = Houd om te stoppen uw pas opnieuw bij de lezer.
stop-failed = Het is niet gestopt. Probeer het opnieuw, stop bij uw voertuig, of bel voor hulp.
master-pass-question = Welke laadbeurt moet stoppen?
master-pass-all = Allemaal
master-pass-failed = Er is niets gestopt. Houd de pas opnieuw bij de lezer.

help-line = Hulp
fault-code = Code { $code }
offline-page = Geen contact met het station. Een lopende laadbeurt gaat door.
offline-uplink = Het station is offline. Passen die het niet kent, worden misschien niet geaccepteerd.
language = Taal
contrast = Dag of nacht
back = Terug
not-found = Deze pagina bestaat niet.
refused = Dit is niet geaccepteerd.
