language-name = Italiano
decimal-mark = ,
title = Stazione di ricarica

evse = Punto di ricarica { $number }
message = Messaggio del gestore

state-free = Libero
state-reserved = Prenotato
state-plug-in = Collegare
state-authorize = Identificarsi
state-preparing = Preparazione
state-charging = In carica
state-paused = In pausa
state-stopping = Arresto in corso
state-finished = Terminato
state-fault = Guasto
state-out-of-service = Fuori servizio
state-starting = Un momento
state-away = Nessun contatto
state-absent = Nessuna risposta

hint-free = Collegare il cavo al veicolo.
hint-reserved = Questo punto è prenotato. Se è per lei, avvicini la tessera al lettore.
hint-plug-in = Può ricaricare. Colleghi il cavo al veicolo.
hint-authorize = Avvicini la tessera al lettore o avvii con la sua app.
hint-authorize-start = Prema «Avvia la ricarica».
hint-card-early = Può già avvicinare la tessera al lettore.
hint-preparing = Tutto viene controllato prima che passi corrente. Ci vuole circa mezzo minuto.
hint-charging = Lasci il cavo collegato.
hint-paused-vehicle = Ora il veicolo non prende corrente. La ricarica riprende quando lo vorrà.
hint-paused-station = Ora la stazione non ha potenza disponibile. La ricarica riprende da sola.
hint-paused-limit = Ora il gestore non dà potenza. La ricarica riprende da sola.
hint-stopping = Attendere che la corrente sia spenta.
hint-finished = Scollegare il cavo e riappenderlo.
hint-fault = Usi un altro punto di ricarica o chiami l’assistenza.
hint-emergency = È stato premuto l’arresto di emergenza. Stia lontano dal cavo e chiami l’assistenza.
hint-live-cable = Stia lontano dal cavo e non lo tocchi. Chiami l’assistenza.
hint-cabinet = Stia lontano da questo punto di ricarica e non lo tocchi. Chiami l’assistenza.
hint-fault-plug = Scolleghi il cavo e riprovi. Se non basta, chiami l’assistenza.
hint-out-of-service = Usi un altro punto di ricarica.
hint-starting = Questo punto di ricarica si sta controllando.
hint-away = Questo schermo non ha contatto con il punto di ricarica. Se il veicolo non si ricarica, lo scolleghi e chiami l’assistenza.
hint-absent = Questo punto di ricarica non risponde. Se il veicolo non si ricarica, lo scolleghi e chiami l’assistenza.

card-refused = Tessera rifiutata.
card-not-accepted = Questa tessera non permette di ricaricare qui. Provi con un’altra o si rivolga a chi l’ha emessa.
card-not-judged = Al momento non può essere verificata. Riprovi o usi un’altra tessera.
card-no-place = Al momento qui non può iniziare una ricarica con questa tessera.

start = Avvia la ricarica
start-failed = Al momento qui non può iniziare una ricarica.
enter-code = Inserire un codice
code-question = Codice per il punto { $number }
code = Il suo codice, da 4 a 12 cifre
code-delete = Cancella l’ultima cifra
code-send = Conferma
code-failed = Il codice non è stato verificato. Riprovi o si identifichi in altro modo.
code-refused = Codice rifiutato.
code-wrong = Questo codice non permette di ricaricare qui. Lo controlli e riprovi.
code-too-many = Sono stati inseriti troppi codici errati. Riprovi tra dieci minuti o si identifichi in altro modo.

step-connecting = Dialogo con il veicolo
step-authorizing = Permesso di ricaricare
step-parameters = Accordo su tensione e corrente
step-cable-check = Prova dell’isolamento
step-pre-charge = Adeguamento alla tensione della batteria
step-done = fatto
step-now = ora
step-to-come = da fare

power = Potenza
energy = Energia
battery = Batteria
time-left = Tempo rimanente
time-left-value = circa { $minutes } min fino al { $percent } %
cost-so-far = Costo finora
cost = Costo
from = Dalle
to = Alle

price = Prezzo
price-per-kwh = { $amount } per kWh
price-per-minute = { $amount } al minuto
price-per-minute-after = { $amount } al minuto dal minuto { $minute }
price-free = La ricarica è gratuita.
price-contract = Con un contratto vale il prezzo del suo fornitore.
price-unknown = Il prezzo le viene indicato dal suo fornitore.

receipt = La sua ricarica
ended-by-vehicle = Terminata dal veicolo.
ended-by-driver = Terminata da lei.
ended-by-operator = Terminata dal gestore.
ended-not-allowed = Non aveva il permesso di ricaricare.
ended-timeout = Il veicolo ha impiegato troppo tempo a iniziare.
ended-incompatible = Il veicolo e questo punto di ricarica non sono compatibili.
ended-by-fault = Terminata per un guasto: { $code }
ended-otherwise = La ricarica è finita.

stop = Ferma la ricarica
stop-question = Fermare la ricarica al punto { $number }?
stop-yes = Sì, ferma
stop-no = No, continua
stop-by-card = Per fermare, avvicini di nuovo la tessera al lettore.
stop-failed = Non si è fermata. Riprovi, la fermi dal veicolo o chiami l’assistenza.
master-pass-question = Quale ricarica va fermata?
master-pass-all = Tutte
master-pass-failed = Non si è fermato nulla. Avvicini di nuovo la tessera.

help-line = Assistenza
fault-code = Codice { $code }
offline-page = Nessun contatto con la stazione. Una ricarica in corso continua.
offline-uplink = La stazione è offline. Le tessere che non conosce potrebbero non essere accettate.
language = Lingua
contrast = Giorno o notte
back = Indietro
not-found = Questa pagina non esiste.
refused = Non è stato accettato.
