//! Holds what a daemon serves to `dbus/*.xml`.

use roxmltree::{Document, Node, ParsingOptions};

include!(concat!(env!("OUT_DIR"), "/interfaces.rs"));
#[cfg(test)]
include!(concat!(env!("OUT_DIR"), "/arguments.rs"));

const EMITS_CHANGED: &str = "org.freedesktop.DBus.Property.EmitsChangedSignal";

/// Compares an object's introspection with the contract, for each of `interfaces`.
///
/// Members, their argument types, and whether a property's changes are told must be the same, in
/// any order; documentation, argument names and other annotations do not count.
///
/// # Errors
/// The first difference, in words.
pub fn check_served(introspection: &str, interfaces: &[&str]) -> Result<(), String> {
    let served = parse(introspection)?;
    for name in interfaces {
        let xml = INTERFACES
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, xml)| *xml)
            .ok_or_else(|| format!("{name} is not in dbus/*.xml"))?;
        let contract = parse(xml)?;
        let wanted = members(&contract, name).ok_or_else(|| format!("{name} is not in its own file"))?;
        let found = members(&served, name).ok_or_else(|| format!("{name} is not served"))?;
        for member in &wanted {
            if !found.contains(member) {
                return Err(format!(
                    "{name}: `{member}` of the contract is not served; served are {found:?}"
                ));
            }
        }
        for member in &found {
            if !wanted.contains(member) {
                return Err(format!("{name}: `{member}` is served, but not in the contract"));
            }
        }
    }
    Ok(())
}

fn parse(xml: &str) -> Result<Document<'_>, String> {
    Document::parse_with_options(xml, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() })
        .map_err(|error| error.to_string())
}

/// Each member of an interface as one line: kind, name, argument types.
fn members(document: &Document<'_>, interface: &str) -> Option<Vec<String>> {
    let node = document
        .descendants()
        .find(|node| node.has_tag_name("interface") && node.attribute("name") == Some(interface))?;
    Some(
        node.children()
            .filter(|member| member.is_element() && !member.has_tag_name("annotation"))
            .map(|member| {
                let name = member.attribute("name").unwrap_or_default();
                let kind = member.tag_name().name();
                match kind {
                    "property" => {
                        let access = member.attribute("access").unwrap_or_default();
                        let emits = member
                            .children()
                            .find(|child| child.attribute("name") == Some(EMITS_CHANGED))
                            .and_then(|annotation| annotation.attribute("value"))
                            .unwrap_or("true");
                        let signature = member.attribute("type").unwrap_or_default();
                        format!("property {name} {signature} {access}, changes told: {emits}")
                    }
                    _ => format!("{kind} {name}({}) -> ({})", types(&member, "in"), types(&member, "out")),
                }
            })
            .collect(),
    )
}

fn types(member: &Node<'_, '_>, direction: &str) -> String {
    let default = if member.has_tag_name("signal") { "out" } else { "in" };
    member
        .children()
        .filter(|argument| {
            argument.has_tag_name("arg") && argument.attribute("direction").unwrap_or(default) == direction
        })
        .filter_map(|argument| argument.attribute("type"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_wire_type_has_the_signature_that_the_xml_gives_it() {
        let arguments = arguments();
        assert!(arguments.len() > 100, "only {} arguments were compared", arguments.len());
        for (place, in_xml, in_rust) in arguments {
            assert_eq!(in_xml, in_rust, "{place}");
        }
    }

    /// `struct` and `words!` of the source, each with its fields or words in order.
    fn described() -> HashMap<&'static str, Vec<&'static str>> {
        let mut described = HashMap::new();
        let (mut name, mut names) = ("", Vec::new());
        let sources = [
            include_str!("wire.rs"),
            include_str!("wire/device.rs"),
            include_str!("wire/link.rs"),
            include_str!("wire/sim.rs"),
            include_str!("wire/station.rs"),
            include_str!("states.rs"),
            include_str!("uplink.rs"),
            include_str!("schedules.rs"),
            include_str!("device.rs"),
        ];
        for line in sources.into_iter().flat_map(str::lines) {
            let code = line.trim();
            if let Some(opened) = code.strip_suffix(" {") {
                let opened = opened.trim_start_matches("pub struct ");
                (name, names) = (opened, Vec::new());
            } else if let Some((field, _)) = code.strip_prefix("pub ").and_then(|code| code.split_once(": "))
            {
                names.push(field);
            } else if let Some((_, word)) = code.split_once(" = \"").filter(|_| line.starts_with("        "))
            {
                names.push(word.trim_end_matches("\","));
            } else if code == "}" && !names.is_empty() {
                described.insert(name, std::mem::take(&mut names));
            }
        }
        described
    }

    #[test]
    fn every_field_and_word_is_explained_in_the_xml_of_each_interface() {
        let described = described();
        assert!(described["DcOutput"] == ["sequence", "voltage", "current", "at"]);
        assert!(described["PilotOutput"] == ["x1", "digital", "f"]);
        for (name, xml) in INTERFACES {
            let document = parse(xml).unwrap();
            let comments: Vec<String> = document
                .descendants()
                .filter(roxmltree::Node::is_comment)
                .map(|comment| {
                    comment.text().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
                })
                .collect();
            let annotated =
                document.descendants().filter(|node| node.attribute("name") == Some("org.voltry.Rust"));
            for rust in annotated.filter_map(|node| node.attribute("value")) {
                let rust = rust.trim_start_matches("Vec<").trim_end_matches('>');
                let fields = &described[rust];
                let explains = |comment: &String| {
                    let mut rest = comment.as_str();
                    fields.iter().all(|field| match rest.split_once(&format!("{field}: ")) {
                        Some((_, after)) => {
                            rest = after;
                            true
                        }
                        None => false,
                    })
                };
                assert!(comments.iter().any(explains), "{name}: no comment explains {fields:?} of {rust}");
            }
        }
    }

    #[test]
    fn every_interface_is_found_once() {
        let mut names: Vec<_> = INTERFACES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), INTERFACES.len());
        assert!(names.contains(&"org.voltry.PowerSupply1"));
    }

    #[test]
    fn a_member_left_out_or_added_or_changed_is_told() {
        let (name, xml) =
            *INTERFACES.iter().find(|(name, _)| *name == "org.voltry.Device1").expect("in the contract");
        assert_eq!(check_served(xml, &[name]), Ok(()));
        let without = xml.replacen("<property name=\"Vendor\" type=\"s\" access=\"read\"/>", "", 1);
        assert_ne!(without, *xml);
        assert!(check_served(&without, &[name]).unwrap_err().contains("Vendor"));
        let changed = xml.replacen("name=\"Online\" type=\"b\"", "name=\"Online\" type=\"s\"", 1);
        assert!(check_served(&changed, &[name]).unwrap_err().contains("Online"));
        let silent = xml.replacen(
            "<property name=\"Online\" type=\"b\" access=\"read\"/>",
            "<property name=\"Online\" type=\"b\" access=\"read\"><annotation \
             name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"false\"/></property>",
            1,
        );
        assert!(check_served(&silent, &[name]).unwrap_err().contains("Online"));
        let added = xml.replacen("</interface>", "<method name=\"Extra\"/></interface>", 1);
        assert!(check_served(&added, &[name]).unwrap_err().contains("Extra"));
    }
}
