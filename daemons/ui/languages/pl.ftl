language-name = Polski
decimal-mark = ,
title = Stacja ładowania

evse = Punkt ładowania { $number }
message = Wiadomość od operatora

state-free = Wolny
state-reserved = Zarezerwowany
state-plug-in = Podłącz
state-authorize = Zaloguj się
state-preparing = Przygotowanie
state-charging = Ładowanie
state-paused = Przerwa
state-stopping = Zatrzymywanie
state-finished = Zakończono
state-fault = Awaria
state-out-of-service = Nieczynny
state-starting = Chwileczkę
state-away = Brak kontaktu
state-absent = Brak odpowiedzi

hint-free = Podłącz kabel do pojazdu.
hint-reserved = Ten punkt jest zarezerwowany. Jeśli dla ciebie, przyłóż kartę do czytnika.
hint-plug-in = Możesz ładować. Podłącz kabel do pojazdu.
hint-authorize = Przyłóż kartę do czytnika albo zacznij w aplikacji.
hint-authorize-start = Naciśnij „Rozpocznij ładowanie”.
hint-card-early = Możesz już przyłożyć kartę do czytnika.
hint-preparing = Zanim popłynie prąd, wszystko jest sprawdzane. Trwa to około pół minuty.
hint-charging = Nie odłączaj kabla.
hint-paused-vehicle = Pojazd nie pobiera teraz prądu. Ładowanie ruszy dalej, gdy będzie chciał.
hint-paused-station = Stacja nie ma teraz wolnej mocy. Ładowanie samo ruszy dalej.
hint-paused-limit = Operator nie daje teraz mocy. Ładowanie samo ruszy dalej.
hint-stopping = Poczekaj, aż prąd zostanie wyłączony.
hint-finished = Odłącz kabel i odwieś go.
hint-fault = Skorzystaj z innego punktu albo zadzwoń po pomoc.
hint-emergency = Naciśnięto wyłącznik awaryjny. Nie zbliżaj się do kabla i zadzwoń po pomoc.
hint-live-cable = Nie zbliżaj się do kabla i nie dotykaj go. Zadzwoń po pomoc.
hint-cabinet = Nie zbliżaj się do tego punktu ładowania i nie dotykaj go. Zadzwoń po pomoc.
hint-fault-plug = Odłącz kabel i spróbuj ponownie. Jeśli to nie pomoże, zadzwoń po pomoc.
hint-out-of-service = Skorzystaj z innego punktu ładowania.
hint-starting = Ten punkt ładowania właśnie się sprawdza.
hint-away = Ekran nie ma kontaktu z punktem ładowania. Jeśli pojazd się nie ładuje, odłącz kabel i zadzwoń po pomoc.
hint-absent = Ten punkt ładowania nie odpowiada. Jeśli pojazd się nie ładuje, odłącz kabel i zadzwoń po pomoc.

card-refused = Karta odrzucona.
card-not-accepted = Tą kartą nie można tu ładować. Spróbuj innej albo zapytaj jej wydawcę.
card-not-judged = Nie można jej teraz sprawdzić. Spróbuj ponownie albo użyj innej karty.
card-no-place = Nie można tu teraz rozpocząć ładowania tą kartą.

start = Rozpocznij ładowanie
start-failed = Nie można tu teraz rozpocząć ładowania.
enter-code = Wpisz kod
code-question = Kod dla punktu { $number }
code = Twój kod, od 4 do 12 cyfr
code-delete = Usuń ostatnią cyfrę
code-send = Zatwierdź
code-failed = Nie udało się sprawdzić kodu. Spróbuj ponownie albo zaloguj się w inny sposób.
code-refused = Kod odrzucony.
code-wrong = Tym kodem nie można tu ładować. Sprawdź go i spróbuj ponownie.
code-too-many = Wpisano zbyt wiele błędnych kodów. Spróbuj za dziesięć minut albo zaloguj się w inny sposób.

step-connecting = Rozmowa z pojazdem
step-authorizing = Zgoda na ładowanie
step-parameters = Uzgodnienie napięcia i prądu
step-cable-check = Test izolacji
step-pre-charge = Dopasowanie do napięcia akumulatora
step-done = gotowe
step-now = teraz
step-to-come = później

power = Moc
energy = Energia
battery = Akumulator
time-left = Pozostały czas
time-left-value = około { $minutes } min do { $percent } %
cost-so-far = Koszt dotychczas
cost = Koszt
from = Od
to = Do

price = Cena
price-per-kwh = { $amount } za kWh
price-per-minute = { $amount } za minutę
price-per-minute-after = { $amount } za minutę od minuty { $minute }
price-free = Ładowanie jest bezpłatne.
price-contract = Z umową obowiązuje cena twojego dostawcy.
price-unknown = Cenę podaje twój dostawca.

receipt = Twoje ładowanie
ended-by-vehicle = Zakończone przez pojazd.
ended-by-driver = Zakończone przez ciebie.
ended-by-operator = Zakończone przez operatora.
ended-not-allowed = Nie było zgody na ładowanie.
ended-timeout = Pojazd zbyt długo nie zaczynał.
ended-incompatible = Pojazd i ten punkt ładowania nie pasują do siebie.
ended-by-fault = Zakończone z powodu awarii: { $code }
ended-otherwise = Ładowanie jest zakończone.

stop = Zatrzymaj ładowanie
stop-question = Zatrzymać ładowanie w punkcie { $number }?
stop-yes = Tak, zatrzymaj
stop-no = Nie, ładuj dalej
stop-by-card = Aby zatrzymać, przyłóż ponownie kartę do czytnika.
stop-failed = Nie udało się zatrzymać. Spróbuj ponownie, zatrzymaj w pojeździe albo zadzwoń po pomoc.
master-pass-question = Które ładowanie zatrzymać?
master-pass-all = Wszystkie
master-pass-failed = Nic nie zatrzymano. Przyłóż kartę ponownie.

help-line = Pomoc
fault-code = Kod { $code }
offline-page = Brak kontaktu ze stacją. Trwające ładowanie jest kontynuowane.
offline-uplink = Stacja jest offline. Nieznane jej karty mogą nie zostać przyjęte.
language = Język
contrast = Dzień lub noc
back = Wstecz
not-found = Nie ma takiej strony.
refused = To nie zostało przyjęte.
