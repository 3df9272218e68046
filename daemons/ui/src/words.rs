//! What the screen says, in the languages that there are files for.
//!
//! A language is a Fluent file; its name, as `de.ftl`, is the language's (RFC 5646). What a file does
//! not say is said in English.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use tracing::warn;
use unic_langid::LanguageIdentifier;

/// The files that are built in, the one that stands in for all others first.
const BUILT_IN: [(&str, &str); 8] = [
    ("en", include_str!("../languages/en.ftl")),
    ("de", include_str!("../languages/de.ftl")),
    ("fr", include_str!("../languages/fr.ftl")),
    ("es", include_str!("../languages/es.ftl")),
    ("it", include_str!("../languages/it.ftl")),
    ("nl", include_str!("../languages/nl.ftl")),
    ("pl", include_str!("../languages/pl.ftl")),
    ("zh", include_str!("../languages/zh.ftl")),
];
/// A file of words has some ten thousand bytes.
const FILE_MAX: u64 = 1 << 18;
/// The key of what a language calls itself.
const NAME: &str = "language-name";
/// A price per kilowatt-hour or minute has at most so many places.
const UNIT_PRICE_PLACES: usize = 4;
/// Languages that one station offers.
const LANGUAGES_MAX: usize = 32;

/// One language. Its sentences are parsed when somebody first speaks it: most are spoken nowhere.
pub struct Language {
    tag: String,
    id: LanguageIdentifier,
    /// What it calls itself.
    name: Option<String>,
    texts: Vec<Cow<'static, str>>,
    bundle: OnceLock<FluentBundle<FluentResource>>,
}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Language").field(&self.tag).finish()
    }
}

/// All languages, in the order in which they are offered.
#[derive(Debug)]
pub struct Languages {
    english: Language,
    offered: Vec<Language>,
}

/// A language to speak, with English behind it.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    language: &'a Language,
    english: &'a Language,
}

impl Languages {
    /// Those that are built in, those of a folder over them, and of all these the wanted ones, in their
    /// order; all, if none is named. A file that cannot be used is told in the log and left out.
    #[must_use]
    pub fn load(folder: &Path, wanted: &[String]) -> Self {
        let mut files: BTreeMap<String, Vec<Cow<'static, str>>> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        let built_in = BUILT_IN.iter().map(|(tag, text)| ((*tag).to_owned(), Cow::Borrowed(*text)));
        let added = read_folder(folder).into_iter().map(|(tag, text)| (tag, Cow::Owned(text)));
        for (tag, text) in built_in.chain(added).take(LANGUAGES_MAX * 2) {
            if !order.contains(&tag) {
                order.push(tag.clone());
            }
            files.entry(tag).or_default().push(text);
        }
        for tag in wanted.iter().filter(|tag| !order.contains(tag)) {
            warn!(language = tag.as_str(), "there is no file of this language");
        }
        let wanted: Vec<&String> = wanted.iter().filter(|tag| order.contains(tag)).collect();
        let offered = if wanted.is_empty() { order.iter().collect() } else { wanted };
        let read = |tag: &str| Language::read(tag, files.get(tag).map_or(&[][..], Vec::as_slice));
        let english = read("en").expect("it is built in, and a test reads it");
        let offered = offered.into_iter().take(LANGUAGES_MAX).filter_map(|tag| read(tag)).collect();
        Self { english, offered }
    }

    /// The languages that a driver can choose: their tags and what they call themselves.
    pub fn offered(&self) -> impl Iterator<Item = (&str, String)> {
        let name = |language: &Language| language.name.clone().unwrap_or_else(|| language.tag.clone());
        self.offered.iter().map(move |language| (language.tag.as_str(), name(language)))
    }

    /// The language of a tag.
    #[must_use]
    pub fn speak(&self, tag: &str) -> Option<Words<'_>> {
        let language = self.offered.iter().find(|language| language.tag == tag)?;
        Some(Words { language, english: &self.english })
    }

    /// The one that is spoken before anybody chooses.
    #[must_use]
    pub fn first(&self) -> Words<'_> {
        Words { language: self.offered.first().unwrap_or(&self.english), english: &self.english }
    }
}

impl Language {
    fn read(tag: &str, texts: &[Cow<'static, str>]) -> Option<Self> {
        let id: LanguageIdentifier = match tag.parse() {
            Ok(id) => id,
            Err(error) => {
                warn!(language = tag, %error, "this is no language; its file is left out");
                return None;
            }
        };
        let mut language =
            Self { tag: tag.to_owned(), id, name: None, texts: texts.to_vec(), bundle: OnceLock::new() };
        let parsed = language.parse(|error| {
            warn!(language = tag, error, "lines of this file are no Fluent and are left out");
        });
        language.name = say(&parsed, NAME, None);
        Some(language)
    }

    fn parse(&self, wrong: impl Fn(Option<String>)) -> FluentBundle<FluentResource> {
        let mut bundle = FluentBundle::new_concurrent(vec![self.id.clone()]);
        // The marks around what is put in would stand in the page as characters.
        bundle.set_use_isolating(false);
        for text in &self.texts {
            let resource =
                FluentResource::try_new(text.clone().into_owned()).unwrap_or_else(|(resource, errors)| {
                    wrong(errors.first().map(ToString::to_string));
                    resource
                });
            bundle.add_resource_overriding(resource);
        }
        bundle
    }

    fn say(&self, key: &str, arguments: Option<&FluentArgs<'_>>) -> Option<String> {
        // What is wrong with it was told when it was read.
        say(self.bundle.get_or_init(|| self.parse(|_| {})), key, arguments)
    }
}

fn say(
    bundle: &FluentBundle<FluentResource>,
    key: &str,
    arguments: Option<&FluentArgs<'_>>,
) -> Option<String> {
    let pattern = bundle.get_message(key)?.value()?;
    let mut errors = Vec::new();
    let said = bundle.format_pattern(pattern, arguments, &mut errors);
    // What names something that is not given would be shown as such.
    errors.is_empty().then(|| said.into_owned())
}

impl<'a> Words<'a> {
    /// The language's tag.
    #[must_use]
    pub fn tag(self) -> &'a str {
        &self.language.tag
    }

    /// A sentence.
    #[must_use]
    pub fn say(self, key: &str) -> String {
        self.with(key, &[])
    }

    /// A sentence with something put in.
    #[must_use]
    pub fn with(self, key: &str, put_in: &[(&str, &str)]) -> String {
        let arguments: FluentArgs<'_> = put_in.iter().copied().collect();
        let said =
            self.language.say(key, Some(&arguments)).or_else(|| self.english.say(key, Some(&arguments)));
        said.unwrap_or_else(|| key.to_owned())
    }

    /// A number with so many places after the point, as the language writes it; `–` for what is none.
    #[must_use]
    pub fn number(self, value: f64, places: usize) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        let text = format!("{value:.places$}");
        let nothing = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
        let text = if nothing { text.replace('-', "") } else { text };
        if self.say("decimal-mark") == "," { text.replace('.', ",") } else { text }
    }

    /// Hours, minutes and seconds of a duration.
    #[must_use]
    pub fn duration(self, seconds: u64) -> String {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// What is paid, in whole cents: `0,59 EUR`.
    #[must_use]
    pub fn cost(self, amount: f64, currency: &str) -> String {
        self.money(amount, minor_places(currency), currency)
    }

    /// What one of something costs, with up to four places: `0,2999 EUR`.
    #[must_use]
    pub fn unit_price(self, amount: f64, currency: &str) -> String {
        let is_exact = |&places: &usize| format!("{amount:.places$}").parse::<f64>() == Ok(amount);
        let places = (minor_places(currency)..UNIT_PRICE_PLACES).find(is_exact);
        self.money(amount, places.unwrap_or(UNIT_PRICE_PLACES), currency)
    }

    fn money(self, amount: f64, places: usize, currency: &str) -> String {
        let amount = self.number(amount, places);
        if currency.is_empty() { amount } else { format!("{amount}\u{a0}{currency}") }
    }
}

/// How many places the amounts of a currency have (ISO 4217).
fn minor_places(currency: &str) -> usize {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

fn read_folder(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "ftl"));
    files.truncate(LANGUAGES_MAX);
    let read = |path: std::path::PathBuf| {
        let tag = path.file_stem()?.to_str()?.to_owned();
        let size = std::fs::metadata(&path).map(|about| about.len());
        match size.and_then(
            |size| if size > FILE_MAX { Ok(None) } else { std::fs::read_to_string(&path).map(Some) },
        ) {
            Ok(Some(text)) => Some((tag, text)),
            Ok(None) => {
                warn!(file = %path.display(), "is too long for a file of words; it is left out");
                None
            }
            Err(error) => {
                warn!(file = %path.display(), %error, "cannot be read; it is left out");
                None
            }
        }
    };
    files.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The messages of a file, each with what is put into it.
    fn messages(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let resource = FluentResource::try_new(text.to_owned()).expect("every line is Fluent");
        let names = resource.entries().filter_map(|entry| match entry {
            fluent_syntax::ast::Entry::Message(message) => Some(message.id.name.to_owned()),
            _ => None,
        });
        names
            .map(|name| {
                let put_in = variables(text, &name);
                (name, put_in)
            })
            .collect()
    }

    fn variables(text: &str, name: &str) -> BTreeSet<String> {
        let from = text.lines().skip_while(|line| !line.starts_with(&format!("{name} ="))).enumerate();
        let own =
            from.take_while(|(number, line)| *number == 0 || line.starts_with(' ')).map(|(_, line)| line);
        let own: String = own.collect();
        let names =
            own.split('$').skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_language_says_everything_with_everything_put_in() {
        let english = messages(BUILT_IN[0].1);
        assert!(english.len() > 40);
        for (tag, text) in BUILT_IN {
            assert_eq!(messages(text), english, "{tag} against English");
            let language = Language::read(tag, &[text.into()]).unwrap();
            for (name, put_in) in &english {
                let arguments: FluentArgs<'_> = put_in.iter().map(|name| (name.as_str(), "X")).collect();
                assert!(language.say(name, Some(&arguments)).is_some(), "{tag} {name}");
            }
        }
    }

    #[test]
    fn a_file_adds_a_language_and_replaces_single_sentences_and_a_broken_one_hurts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("pt.ftl", "language-name = Português\nstate-free = Livre\n");
        write("de.ftl", "state-free = Bereit\n");
        write("not a language.ftl", "x = y");
        write("sv.ftl", "language-name = Svenska\n?? {\n");
        let languages = Languages::load(folder.path(), &[]);
        assert_eq!(languages.speak("pt").unwrap().say("state-free"), "Livre");
        let english = languages.speak("en").unwrap();
        assert_eq!(languages.speak("pt").unwrap().say("stop"), english.say("stop"), "English stands in");
        assert_eq!(languages.speak("de").unwrap().say("state-free"), "Bereit");
        assert_eq!(languages.speak("sv").unwrap().say("language-name"), "Svenska");
        assert!(languages.speak("not a language").is_none());
    }

    #[test]
    fn only_the_wanted_languages_are_offered_in_their_order() {
        let wanted = ["fr", "xx", "en"].map(str::to_owned);
        let languages = Languages::load(Path::new("/nowhere"), &wanted);
        assert_eq!(languages.offered().map(|(tag, _)| tag).collect::<Vec<_>>(), ["fr", "en"]);
        assert_eq!(languages.first().tag(), "fr");
        assert!(languages.speak("de").is_none());
    }

    #[test]
    fn numbers_are_written_as_the_language_does() {
        let languages = Languages::load(Path::new("/nowhere"), &[]);
        let (german, english) = (languages.speak("de").unwrap(), languages.speak("en").unwrap());
        assert_eq!(german.number(1234.56, 1), "1234,6");
        assert_eq!(english.number(-0.001, 1), "0.0");
        assert_eq!(german.number(f64::NAN, 1), "–");
        assert_eq!(german.unit_price(0.59, "EUR"), "0,59\u{a0}EUR");
        assert_eq!(english.unit_price(0.2999, "GBP"), "0.2999\u{a0}GBP");
        assert_eq!(english.unit_price(0.125, "GBP"), "0.125\u{a0}GBP");
        assert_eq!(english.unit_price(1.0 / 3.0, "GBP"), "0.3333\u{a0}GBP");
        assert_eq!(english.unit_price(45.0, "JPY"), "45\u{a0}JPY");
        assert_eq!(english.cost(3.4567, "EUR"), "3.46\u{a0}EUR", "nobody pays hundredths of a cent");
        assert_eq!(english.cost(345.67, "JPY"), "346\u{a0}JPY");
        assert_eq!(english.cost(3.5, "KWD"), "3.500\u{a0}KWD");
        assert_eq!(english.cost(3.5, ""), "3.50");
        assert_eq!(english.duration(3_723), "1:02:03");
    }
}
