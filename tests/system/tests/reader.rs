//! Cards on a reader: from the chip's serial line to the vehicle, and to the screen.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use voltry_bus::{Device1Proxy, EvseState, IdTokenReader1Proxy, names};
use voltry_system_tests::Station;
use zbus::proxy::CacheProperties;

/// Numbers of 7 and of 10 bytes.
const CARDS: [&str; 2] = ["047BCB51962280", "00112233445566778899"];
const SOON: Duration = Duration::from_secs(30);

/// The reader of EVSE 1, as the bus shows it.
struct Reader {
    device: Device1Proxy<'static>,
    cards: IdTokenReader1Proxy<'static>,
}

impl Reader {
    async fn of(station: &Station) -> Self {
        let (connection, path) = (station.connection(), names::path("id_token_reader", "1"));
        let device = Device1Proxy::builder(connection).destination(names::READER).path(path.clone());
        let cards = IdTokenReader1Proxy::builder(connection).destination(names::READER).path(path);
        Self {
            device: device.cache_properties(CacheProperties::No).build().await.expect("the bus is there"),
            cards: cards.cache_properties(CacheProperties::No).build().await.expect("the bus is there"),
        }
    }

    async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let ends = tokio::time::Instant::now() + SOON;
        while !holds(self).await {
            assert!(tokio::time::Instant::now() < ends, "{what}: not within {SOON:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Laid there again, a card then counts again.
    async fn until_no_card_lies_there(&self) {
        self.until("the card is gone", async |reader| reader.cards.cards().await.is_ok_and(|n| n == 0)).await;
    }

    async fn until_it_is_missed(&self) {
        let missed = async |reader: &Self| {
            let faults = reader.device.faults().await.unwrap_or_default();
            faults.iter().any(|fault| fault.code == "TokenReaderSilent")
        };
        self.until("TokenReaderSilent", missed).await;
    }

    async fn until_it_answers(&self) {
        let answers = async |reader: &Self| {
            let online = reader.device.online().await.unwrap_or(false);
            online && reader.device.faults().await.is_ok_and(|faults| faults.is_empty())
        };
        self.until("it answers", answers).await;
    }
}

/// The screen's page as it changes.
struct Screen(BufReader<TcpStream>);

impl Screen {
    /// Once it is there: whoever comes earlier is hung up on.
    async fn at(address: SocketAddr) -> Self {
        let ask = format!("GET /events?language=en HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let there = async {
            loop {
                let mut page = BufReader::new(TcpStream::connect(address).await.unwrap());
                let (mut answer, asked) = (String::new(), page.write_all(ask.as_bytes()).await);
                if asked.is_ok() && page.read_line(&mut answer).await.is_ok_and(|length| length > 0) {
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    return Self(page);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, there).await.expect("the screen came up")
    }

    async fn until_it_says(&mut self, what: &str) {
        let said = async {
            let mut line = String::new();
            while !line.contains(what) {
                line.clear();
                assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the screen ended");
            }
        };
        tokio::time::timeout(SOON, said).await.unwrap_or_else(|_| panic!("the screen does not say {what}"));
    }
}

#[tokio::test]
async fn a_card_on_the_reader_starts_and_stops_and_a_reader_that_is_away_stops_nothing() {
    // An address of its own: nobody else takes the port meanwhile.
    let screen = TcpListener::bind("127.0.0.6:0").unwrap().local_addr().unwrap();
    let topology = format!(
        "screen = \"{screen}\"\nfree = false\nreaders = true\ntokens = {CARDS:?}\n[[evse]]\nmonitor_pace = 10\n\
         vehicle = {{ capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }}\n"
    );
    let mut station = Station::start(&topology).await;
    let reader = Reader::of(&station).await;
    let before = station.truth(1).await.register;
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Authorizing], SOON).await;
    let mut screen = Screen::at(screen).await;
    screen.until_it_says("state-authorize").await;
    station.tell("swipe DEADBEEF 1").await;
    screen.until_it_says("Card refused.").await;
    drop(screen);
    station.until_log("station", "refused", SOON).await;
    assert!(station.station().await.transactions(1).await.unwrap().is_empty());

    station.tell(&format!("swipe {} 1", CARDS[0])).await;
    station.until_state(1, &[EvseState::Charging], Duration::from_secs(40)).await;
    let counted = before + 5.0;
    station.until_truth(1, "energy flows", SOON, |truth| truth.register > counted).await;

    station.tell("fault reader-gone 1").await;
    reader.until_it_is_missed().await;
    assert_eq!(station.evse(1).await.state().await.unwrap(), EvseState::Charging);
    station.tell("clear reader-gone 1").await;
    reader.until_it_answers().await;
    // Somebody else's stops nothing, through noise as well.
    station.tell("fault reader-noise 1").await;
    station.tell(&format!("swipe {} 1", CARDS[1])).await;
    station.until_log("reader", "…99", SOON).await;
    reader.until_no_card_lies_there().await;
    assert_eq!(station.evse(1).await.state().await.unwrap(), EvseState::Charging);
    station.tell(&format!("swipe {} 1", CARDS[0])).await;
    let transaction = station.closed_transaction(SOON).await;
    station.assert_billed(&transaction, 1, before).await;
    assert_eq!(transaction.identity, "…80");
    for daemon in ["reader", "station", "evse-1"] {
        let log = station.log(daemon);
        let shown = CARDS.iter().chain(&["DEADBEEF"]).find(|card| log.contains(**card));
        assert_eq!(shown, None, "{daemon} logs whose card it was");
    }
    station.quit().await;
}
