language-name = Deutsch
decimal-mark = ,
title = Ladestation

evse = Ladepunkt { $number }
message = Nachricht des Betreibers

state-free = Frei
state-reserved = Reserviert
state-plug-in = Einstecken
state-authorize = Bitte anmelden
state-preparing = Vorbereitung
state-charging = Lädt
state-paused = Pause
state-stopping = Wird beendet
state-finished = Beendet
state-fault = Gestört
state-out-of-service = Außer Betrieb
state-starting = Einen Moment
state-away = Kein Kontakt
state-absent = Keine Antwort

hint-free = Stecken Sie das Kabel in Ihr Fahrzeug.
hint-reserved = Dieser Ladepunkt ist reserviert. Wenn er für Sie reserviert ist, halten Sie Ihre Karte an das Lesegerät.
hint-plug-in = Sie dürfen laden. Stecken Sie das Kabel in Ihr Fahrzeug.
hint-authorize = Halten Sie Ihre Karte an das Lesegerät oder starten Sie mit Ihrer App.
hint-authorize-start = Tippen Sie auf „Laden starten“.
hint-card-early = Sie können Ihre Karte schon an das Lesegerät halten.
hint-preparing = Alles wird geprüft, bevor Strom fließt. Das dauert etwa eine halbe Minute.
hint-charging = Lassen Sie das Kabel eingesteckt.
hint-paused-vehicle = Ihr Fahrzeug nimmt gerade keinen Strom ab. Das Laden geht weiter, sobald es wieder Strom anfordert.
hint-paused-station = Die Station hat gerade keine Leistung frei. Das Laden geht von selbst weiter.
hint-paused-limit = Der Betreiber gibt gerade keine Leistung frei. Das Laden geht von selbst weiter.
hint-stopping = Bitte warten Sie, bis der Strom abgeschaltet ist.
hint-finished = Ziehen Sie das Kabel ab und hängen Sie es zurück.
hint-fault = Bitte nutzen Sie einen anderen Ladepunkt oder rufen Sie die Hilfe-Nummer an.
hint-emergency = Der Not-Halt wurde gedrückt. Bleiben Sie vom Kabel weg und rufen Sie Hilfe.
hint-live-cable = Bleiben Sie vom Kabel weg und berühren Sie es nicht. Rufen Sie Hilfe.
hint-cabinet = Bleiben Sie von diesem Ladepunkt weg und berühren Sie ihn nicht. Rufen Sie Hilfe.
hint-fault-plug = Ziehen Sie das Kabel ab und versuchen Sie es noch einmal. Hilft das nicht, rufen Sie die Hilfe-Nummer an.
hint-out-of-service = Bitte nutzen Sie einen anderen Ladepunkt.
hint-starting = Dieser Ladepunkt prüft sich gerade selbst.
hint-away = Dieser Bildschirm hat keinen Kontakt zum Ladepunkt. Lädt Ihr Fahrzeug nicht, ziehen Sie das Kabel ab und rufen Sie die Hilfe-Nummer an.
hint-absent = Dieser Ladepunkt antwortet nicht. Lädt Ihr Fahrzeug nicht, ziehen Sie das Kabel ab und rufen Sie die Hilfe-Nummer an.

card-refused = Karte abgelehnt.
card-not-accepted = Mit dieser Karte können Sie hier nicht laden. Versuchen Sie eine andere oder fragen Sie den Anbieter der Karte.
card-not-judged = Die Karte lässt sich gerade nicht prüfen. Versuchen Sie es noch einmal oder mit einer anderen Karte.
card-no-place = Hier kann mit ihr gerade kein Ladevorgang beginnen.

start = Laden starten
start-failed = Hier kann gerade kein Ladevorgang beginnen.
enter-code = Code eingeben
code-question = Code für Ladepunkt { $number }
code = Ihr Code, 4 bis 12 Ziffern
code-delete = Letzte Ziffer löschen
code-send = Bestätigen
code-failed = Der Code ließ sich nicht prüfen. Versuchen Sie es noch einmal oder melden Sie sich anders an.
code-refused = Code abgelehnt.
code-wrong = Mit diesem Code können Sie hier nicht laden. Prüfen Sie ihn und versuchen Sie es noch einmal.
code-too-many = Es wurden zu viele falsche Codes eingegeben. Versuchen Sie es in zehn Minuten noch einmal oder melden Sie sich anders an.

step-connecting = Kommunikation mit dem Fahrzeug
step-authorizing = Freigabe
step-parameters = Spannung und Strom vereinbaren
step-cable-check = Isolation prüfen
step-pre-charge = Spannung an die Batterie angleichen
step-done = fertig
step-now = jetzt
step-to-come = kommt noch

power = Leistung
energy = Energie
battery = Batterie
time-left = Restzeit
time-left-value = etwa { $minutes } min bis { $percent } %
cost-so-far = Kosten bisher
cost = Kosten
from = Von
to = Bis

price = Preis
price-per-kwh = { $amount } je kWh
price-per-minute = { $amount } je Minute
price-per-minute-after = { $amount } je Minute ab Minute { $minute }
price-free = Das Laden ist kostenlos.
price-contract = Mit einem Vertrag gilt der Preis Ihres Anbieters.
price-unknown = Den Preis nennt Ihnen Ihr Anbieter.

receipt = Ihr Ladevorgang
ended-by-vehicle = Von Ihrem Fahrzeug beendet.
ended-by-driver = Von Ihnen beendet.
ended-by-operator = Vom Betreiber beendet.
ended-not-allowed = Der Ladevorgang wurde nicht freigegeben.
ended-timeout = Ihr Fahrzeug hat nicht rechtzeitig begonnen.
ended-incompatible = Ihr Fahrzeug und dieser Ladepunkt passen nicht zusammen.
ended-by-fault = Wegen einer Störung beendet: { $code }
ended-otherwise = Der Ladevorgang ist beendet.

stop = Laden beenden
stop-question = Laden an Ladepunkt { $number } beenden?
stop-yes = Ja, beenden
stop-no = Nein, weiterladen
stop-by-card = Zum Beenden halten Sie Ihre Karte noch einmal an das Lesegerät.
stop-failed = Das Laden ließ sich nicht beenden. Versuchen Sie es noch einmal, beenden Sie es am Fahrzeug oder rufen Sie die Hilfe-Nummer an.
master-pass-question = Welcher Ladevorgang soll beendet werden?
master-pass-all = Alle
master-pass-failed = Es wurde nichts beendet. Zeigen Sie die Karte noch einmal.

help-line = Hilfe
fault-code = Code { $code }
offline-page = Kein Kontakt zur Station. Ein laufender Ladevorgang geht weiter.
offline-uplink = Die Station ist offline. Karten, die sie nicht kennt, werden vielleicht nicht angenommen.
language = Sprache
contrast = Tag oder Nacht
back = Zurück
not-found = Diese Seite gibt es nicht.
refused = Das wurde nicht angenommen.
