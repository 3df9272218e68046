language-name = Español
decimal-mark = ,
title = Estación de recarga

evse = Punto de recarga { $number }
message = Mensaje del operador

state-free = Libre
state-reserved = Reservado
state-plug-in = Conecte el cable
state-authorize = Identifíquese
state-preparing = Preparando
state-charging = Cargando
state-paused = En pausa
state-stopping = Deteniendo
state-finished = Terminado
state-fault = Averiado
state-out-of-service = Fuera de servicio
state-starting = Un momento
state-away = Sin contacto
state-absent = Sin respuesta

hint-free = Conecte el cable a su vehículo.
hint-reserved = Este punto está reservado. Si es para usted, acerque su tarjeta al lector.
hint-plug-in = Puede cargar. Conecte el cable a su vehículo.
hint-authorize = Acerque su tarjeta al lector o inicie con su aplicación.
hint-authorize-start = Pulse «Iniciar la carga».
hint-card-early = Ya puede acercar su tarjeta al lector.
hint-preparing = Se comprueba todo antes de que pase corriente. Tarda alrededor de medio minuto.
hint-charging = Deje el cable conectado.
hint-paused-vehicle = Su vehículo no pide corriente en este momento. La carga continuará cuando la pida.
hint-paused-station = La estación no tiene potencia disponible en este momento. La carga continuará automáticamente.
hint-paused-limit = El operador no da potencia en este momento. La carga continuará automáticamente.
hint-stopping = Espere hasta que se corte la corriente.
hint-finished = Desconecte el cable y cuélguelo en su sitio.
hint-fault = Use otro punto de recarga o pida ayuda.
hint-emergency = Se ha pulsado la parada de emergencia. Aléjese del cable y pida ayuda.
hint-live-cable = Aléjese del cable y no lo toque. Pida ayuda.
hint-cabinet = Aléjese de este punto de recarga y no lo toque. Pida ayuda.
hint-fault-plug = Desconecte el cable e inténtelo otra vez. Si no funciona, pida ayuda.
hint-out-of-service = Use otro punto de recarga.
hint-starting = Este punto de recarga se está comprobando.
hint-away = Esta pantalla no tiene contacto con el punto de recarga. Si su vehículo no carga, desconéctelo y pida ayuda.
hint-absent = Este punto de recarga no responde. Si su vehículo no carga, desconéctelo y pida ayuda.

card-refused = Tarjeta rechazada.
card-not-accepted = Esta tarjeta no permite cargar aquí. Pruebe con otra o consulte a quien la emitió.
card-not-judged = No se puede comprobar en este momento. Inténtelo otra vez o use otra tarjeta.
card-no-place = Ahora no se puede iniciar aquí una carga con esta tarjeta.

start = Iniciar la carga
start-failed = Ahora no se puede iniciar aquí una carga.
enter-code = Introducir un código
code-question = Código para el punto { $number }
code = Su código, de 4 a 12 cifras
code-delete = Borrar la última cifra
code-send = Confirmar
code-failed = No se ha podido comprobar el código. Inténtelo otra vez o identifíquese de otra forma.
code-refused = Código rechazado.
code-wrong = Este código no permite cargar aquí. Compruébelo e inténtelo otra vez.
code-too-many = Se han introducido demasiados códigos incorrectos. Inténtelo dentro de diez minutos o identifíquese de otra forma.

step-connecting = Comunicación con el vehículo
step-authorizing = Permiso para cargar
step-parameters = Acuerdo de tensión y corriente
step-cable-check = Prueba del aislamiento
step-pre-charge = Ajuste a la tensión de la batería
step-done = hecho
step-now = ahora
step-to-come = pendiente

power = Potencia
energy = Energía
battery = Batería
time-left = Tiempo restante
time-left-value = unos { $minutes } min hasta el { $percent } %
cost-so-far = Coste hasta ahora
cost = Coste
from = Desde
to = Hasta

price = Precio
price-per-kwh = { $amount } por kWh
price-per-minute = { $amount } por minuto
price-per-minute-after = { $amount } por minuto a partir del minuto { $minute }
price-free = La carga es gratuita.
price-contract = Con contrato se aplica el precio de su proveedor.
price-unknown = Su proveedor le indica el precio.

receipt = Su carga
ended-by-vehicle = Terminada por su vehículo.
ended-by-driver = Terminada por usted.
ended-by-operator = Terminada por el operador.
ended-not-allowed = No tenía permiso para cargar.
ended-timeout = Su vehículo tardó demasiado en empezar.
ended-incompatible = Su vehículo y este punto de recarga no son compatibles.
ended-by-fault = Terminada por una avería: { $code }
ended-otherwise = La carga ha terminado.

stop = Detener la carga
stop-question = ¿Detener la carga en el punto { $number }?
stop-yes = Sí, detener
stop-no = No, seguir
stop-by-card = Para detener, acerque otra vez su tarjeta al lector.
stop-failed = La carga no se ha detenido. Inténtelo otra vez, deténgala desde su vehículo o pida ayuda.
master-pass-question = ¿Qué carga se debe detener?
master-pass-all = Todas
master-pass-failed = No se ha detenido nada. Acerque la tarjeta otra vez.

help-line = Ayuda
fault-code = Código { $code }
offline-page = Sin contacto con la estación. Una carga en curso continúa.
offline-uplink = La estación está sin conexión. Puede que no acepte tarjetas que no conozca.
language = Idioma
contrast = Día o noche
back = Volver
not-found = Esta página no existe.
refused = No se ha aceptado.
