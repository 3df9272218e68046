language-name = Español
decimal-mark = ,
title = Estación de recarga

evse = Punto de recarga { $number }
message = Mensaje del operador

state-free = Libre
state-reserved = Reservado
state-plug-in = Enchufe
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

hint-free = Enchufe el cable en su vehículo.
hint-reserved = Este punto está reservado. Si es para usted, acerque su tarjeta al lector.
hint-plug-in = Puede cargar. Enchufe el cable en su vehículo.
hint-authorize = Acerque su tarjeta al lector o inicie con su aplicación.
hint-card-early = Ya puede acercar su tarjeta al lector.
hint-preparing = Se comprueba todo antes de que pase corriente. Tarda alrededor de medio minuto.
hint-charging = Deje el cable enchufado.
hint-paused-vehicle = Su vehículo no toma corriente ahora. La carga seguirá cuando él quiera.
hint-paused-station = La estación no tiene potencia disponible ahora. La carga seguirá por sí sola.
hint-paused-limit = El operador no da potencia ahora. La carga seguirá por sí sola.
hint-stopping = Espere hasta que se corte la corriente.
hint-finished = Desenchufe el cable y cuélguelo.
hint-fault = Use otro punto de recarga o pida ayuda.
hint-emergency = Se pulsó la parada de emergencia. Aléjese del cable y pida ayuda.
hint-fault-plug = Desenchufe el cable e inténtelo otra vez. Si no sirve, pida ayuda.
hint-out-of-service = Use otro punto de recarga.
hint-starting = Este punto de recarga se está comprobando.
hint-away = Esta pantalla no tiene contacto con el punto de recarga. Una carga en curso continúa.

step-connecting = Diálogo con el vehículo
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
price-contract = Con un contrato vale el precio de su proveedor.
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
stop-failed = No se detuvo. Inténtelo otra vez, detenga desde su vehículo o pida ayuda.

help-line = Ayuda
fault-code = Código { $code }
offline-page = Sin contacto con la estación. Una carga en curso continúa.
offline-uplink = La estación está sin conexión. Puede que no acepte tarjetas que no conoce.
language = Idioma
contrast = Día o noche
back = Volver
not-found = Esta página no existe.
refused = Esto no fue aceptado.
