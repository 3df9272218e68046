language-name = Français
decimal-mark = ,
title = Station de charge

evse = Point de charge { $number }
message = Message de l’exploitant

state-free = Libre
state-reserved = Réservé
state-plug-in = Branchez le câble
state-authorize = Identifiez-vous
state-preparing = Préparation
state-charging = En charge
state-paused = En pause
state-stopping = Arrêt en cours
state-finished = Terminé
state-fault = En panne
state-out-of-service = Hors service
state-starting = Un instant
state-away = Pas de contact
state-absent = Pas de réponse

hint-free = Branchez le câble sur votre véhicule.
hint-reserved = Ce point de charge est réservé. S’il l’est pour vous, présentez votre carte au lecteur.
hint-plug-in = Vous pouvez charger. Branchez le câble sur votre véhicule.
hint-authorize = Présentez votre carte au lecteur ou démarrez la charge avec votre application.
hint-authorize-start = Appuyez sur « Démarrer la charge ».
hint-card-early = Vous pouvez déjà présenter votre carte au lecteur.
hint-preparing = Tout est vérifié avant que le courant passe. Cela prend environ une demi-minute.
hint-charging = Laissez le câble branché.
hint-paused-vehicle = Votre véhicule ne demande pas de courant pour le moment. La charge reprendra dès qu’il en demandera.
hint-paused-station = La station n’a pas de puissance disponible pour le moment. La charge reprendra d’elle-même.
hint-paused-limit = L’exploitant ne libère pas de puissance pour le moment. La charge reprendra d’elle-même.
hint-stopping = Veuillez attendre que le courant soit coupé.
hint-finished = Débranchez le câble et raccrochez-le.
hint-fault = Veuillez utiliser un autre point de charge ou appeler l’assistance.
hint-emergency = L’arrêt d’urgence a été actionné. Éloignez-vous du câble et appelez l’assistance.
hint-live-cable = Éloignez-vous du câble et ne le touchez pas. Appelez l’assistance.
hint-cabinet = Éloignez-vous de ce point de charge et ne le touchez pas. Appelez l’assistance.
hint-fault-plug = Débranchez le câble et réessayez. Si cela ne suffit pas, appelez l’assistance.
hint-out-of-service = Veuillez utiliser un autre point de charge.
hint-starting = Ce point de charge effectue son autotest.
hint-away = Cet écran n’a pas de contact avec le point de charge. Si votre véhicule ne charge pas, débranchez-le et appelez l’assistance.
hint-absent = Ce point de charge ne répond pas. Si votre véhicule ne charge pas, débranchez-le et appelez l’assistance.

card-refused = Carte refusée.
card-not-accepted = Cette carte ne permet pas de charger ici. Essayez-en une autre ou adressez-vous à son émetteur.
card-not-judged = La carte ne peut pas être vérifiée pour le moment. Réessayez ou utilisez une autre carte.
card-no-place = Aucune charge ne peut démarrer ici avec cette carte pour le moment.

start = Démarrer la charge
start-failed = Aucune charge ne peut démarrer ici pour le moment.
enter-code = Saisir un code
code-question = Code pour le point de charge { $number }
code = Votre code, de 4 à 12 chiffres
code-delete = Effacer le dernier chiffre
code-send = Valider
code-failed = Le code n’a pas pu être vérifié. Réessayez ou identifiez-vous autrement.
code-refused = Code refusé.
code-wrong = Ce code ne permet pas de charger ici. Vérifiez-le et réessayez.
code-too-many = Trop de codes erronés ont été saisis. Réessayez dans dix minutes ou identifiez-vous autrement.

step-connecting = Dialogue avec le véhicule
step-authorizing = Autorisation
step-parameters = Accord sur la tension et le courant
step-cable-check = Contrôle de l’isolement
step-pre-charge = Ajustement à la tension de la batterie
step-done = terminé
step-now = en cours
step-to-come = à venir

power = Puissance
energy = Énergie
battery = Batterie
time-left = Temps restant
time-left-value = environ { $minutes } min jusqu’à { $percent } %
cost-so-far = Coût jusqu’ici
cost = Coût
from = Début
to = Fin

price = Prix
price-per-kwh = { $amount } par kWh
price-per-minute = { $amount } par minute
price-per-minute-after = { $amount } par minute à partir de la minute { $minute }
price-free = La charge est gratuite.
price-contract = Avec un contrat, le prix de votre fournisseur s’applique.
price-unknown = Votre fournisseur vous indique le prix.

receipt = Votre charge
ended-by-vehicle = Terminée par votre véhicule.
ended-by-driver = Terminée par vous.
ended-by-operator = Terminée par l’exploitant.
ended-not-allowed = La charge n’a pas été autorisée.
ended-timeout = Votre véhicule a mis trop de temps à commencer.
ended-incompatible = Votre véhicule et ce point de charge ne sont pas compatibles.
ended-by-fault = Terminée à cause d’un défaut : { $code }
ended-otherwise = La charge est terminée.

stop = Arrêter la charge
stop-question = Arrêter la charge au point de charge { $number } ?
stop-yes = Oui, arrêter
stop-no = Non, continuer
stop-by-card = Pour arrêter, présentez de nouveau votre carte au lecteur.
stop-failed = La charge ne s’est pas arrêtée. Réessayez, arrêtez-la depuis votre véhicule ou appelez l’assistance.
master-pass-question = Quelle charge faut-il arrêter ?
master-pass-all = Toutes
master-pass-failed = Rien n’a été arrêté. Présentez de nouveau la carte.

help-line = Assistance
fault-code = Code { $code }
offline-page = Pas de contact avec la station. Une charge en cours continue.
offline-uplink = La station est hors ligne. Les cartes qu’elle ne connaît pas risquent d’être refusées.
language = Langue
contrast = Jour ou nuit
back = Retour
not-found = Cette page n’existe pas.
refused = Cela n’a pas été accepté.
