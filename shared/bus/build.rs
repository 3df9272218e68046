//! Generates the proxies, and the table that the contract's tests read, from `dbus/*.xml`.
//!
//! The XML is the source of truth: a member that is not documented there fails the build.

use std::path::{Path, PathBuf};
use std::{env, fs};

use roxmltree::{Document, Node};

fn main() {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../../dbus");
    println!("cargo::rerun-if-changed={}", source.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&source)
        .expect("dbus/ is beside shared/")
        .map(|entry| entry.expect("dbus/ can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();

    let mut proxies = String::new();
    let mut reexports = String::new();
    let mut table = String::from(
        "/// Every interface of the contract: its name and its XML.\npub const INTERFACES: &[(&str, &str)] = &[\n",
    );
    let mut arguments = String::from(
        "#[allow(clippy::too_many_lines)]\npub(crate) fn arguments() -> Vec<(&'static str, &'static str, String)> {\nvec![\n",
    );
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let text = fs::read_to_string(file).expect("interface XML is readable");
        let document = Document::parse_with_options(
            &text,
            roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
        )
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for interface in document.root_element().children().filter(|node| node.has_tag_name("interface")) {
            let name = attribute(interface, "name", file);
            push(
                &mut table,
                format!(
                    "({name:?}, include_str!({:?})),",
                    file.canonicalize().expect("exists").display().to_string()
                ),
            );
            push(&mut reexports, format!("pub use proxies::{}Proxy;", trait_name(name)));
            proxy(&mut proxies, &mut arguments, interface, name, file);
        }
    }
    table.push_str("];\n");
    arguments.push_str("]\n}\n");
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    fs::write(out.join("reexports.rs"), reexports).expect("OUT_DIR is writable");
    fs::write(out.join("proxies.rs"), proxies).expect("OUT_DIR is writable");
    fs::write(out.join("interfaces.rs"), table).expect("OUT_DIR is writable");
    fs::write(out.join("arguments.rs"), arguments).expect("OUT_DIR is writable");
}

fn proxy(out: &mut String, table: &mut String, interface: Node<'_, '_>, name: &str, file: &Path) {
    let docs = documentation(interface, file);
    let trait_name = trait_name(name);
    push(
        out,
        format!(
            "#[doc = {docs:?}]\n#[zbus::proxy(interface = {name:?}, assume_defaults = false)]\npub trait {trait_name} {{"
        ),
    );
    for member in interface.children().filter(Node::is_element) {
        let docs = documentation(member, file);
        let member_name = attribute(member, "name", file);
        let place = format!("{name}.{member_name}");
        let function = snake_case(member_name);
        let attributes = format!("#[doc = {docs:?}]\n#[zbus(name = {member_name:?})]");
        push(
            out,
            match member.tag_name().name() {
                "method" => format!("{attributes}\n{}", method(table, member, &function, &place, file)),
                "signal" => {
                    let inputs: String = arguments(member)
                        .map(|argument| {
                            let rust = recorded_type(table, argument, &place, file);
                            format!(", {}: {rust}", attribute(argument, "name", file))
                        })
                        .collect();
                    format!(
                        "{attributes}\n#[zbus(signal)]\nfn {function}(&self{inputs}) -> zbus::Result<()>;"
                    )
                }
                "property" => {
                    assert_eq!(member.attribute("access"), Some("read"), "{place}: no property is writable");
                    let rust = recorded_type(table, member, &place, file);
                    let emits = emits_changed(member);
                    format!(
                        "{attributes}\n#[zbus(property(emits_changed_signal = {emits:?}))]\nfn {function}(&self) -> zbus::Result<{rust}>;"
                    )
                }
                other => panic!("{}: <{other}> in {name}", file.display()),
            },
        );
    }
    push(out, "}");
}

/// Whether a property's changes are told, as its annotation says; `true` without one.
fn emits_changed<'a>(property: Node<'a, '_>) -> &'a str {
    property
        .children()
        .find(|node| node.attribute("name") == Some("org.freedesktop.DBus.Property.EmitsChangedSignal"))
        .and_then(|annotation| annotation.attribute("value"))
        .unwrap_or("true")
}

fn method(table: &mut String, member: Node<'_, '_>, function: &str, place: &str, file: &Path) -> String {
    let mut inputs = String::new();
    let mut outputs = Vec::new();
    for argument in arguments(member) {
        let rust = recorded_type(table, argument, place, file);
        if argument.attribute("direction") == Some("out") {
            outputs.push(rust);
        } else {
            inputs += &format!(", {}: {}", attribute(argument, "name", file), borrowed(&rust));
        }
    }
    let output = match outputs.as_slice() {
        [one] => one.clone(),
        none_or_several => format!("({})", none_or_several.join(", ")),
    };
    format!("fn {function}(&self{inputs}) -> Result<{output}, crate::Error>;")
}

fn arguments<'a, 'input>(member: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    member.children().filter(|node| node.has_tag_name("arg"))
}

/// The Rust type of an argument or property, noted in the table that the tests compare.
fn recorded_type(table: &mut String, argument: Node<'_, '_>, place: &str, file: &Path) -> String {
    let rust = rust_type(argument, file);
    let signature = attribute(argument, "type", file);
    push(table, format!("({place:?}, {signature:?}, <{rust} as zbus::Type>::SIGNATURE.to_string()),"));
    rust
}

fn push(out: &mut String, line: impl AsRef<str>) {
    out.push_str(line.as_ref());
    out.push('\n');
}

fn trait_name(interface: &str) -> &str {
    interface.rsplit('.').next().expect("interface names have dots")
}

/// The comment before a node; every interface and member must have one.
fn documentation(node: Node<'_, '_>, file: &Path) -> String {
    let comment = std::iter::successors(node.prev_sibling(), Node::prev_sibling)
        .find(|sibling| !sibling.is_text())
        .filter(Node::is_comment)
        .and_then(|comment| comment.text())
        .unwrap_or_else(|| {
            panic!(
                "{}: {} has no comment before it",
                file.display(),
                node.attribute("name").unwrap_or("a node")
            )
        });
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    lines.join("\n").trim().to_owned()
}

fn rust_type(argument: Node<'_, '_>, file: &Path) -> String {
    let annotated = argument
        .children()
        .find(|node| node.attribute("name") == Some("org.voltry.Rust"))
        .map(|node| attribute(node, "value", file));
    if let Some(rust) = annotated {
        return qualified(rust);
    }
    match attribute(argument, "type", file) {
        "b" => "bool",
        "u" => "u32",
        "t" => "u64",
        "x" => "i64",
        "d" => "f64",
        "s" => "String",
        "as" => "Vec<String>",
        "ay" => "Vec<u8>",
        other => panic!("{}: type {other:?} needs an org.voltry.Rust annotation", file.display()),
    }
    .to_owned()
}

fn qualified(rust: &str) -> String {
    match rust.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>')) {
        Some(element) => format!("Vec<crate::{element}>"),
        None => format!("crate::{rust}"),
    }
}

fn borrowed(rust: &str) -> &str {
    if rust == "String" { "&str" } else { rust }
}

fn attribute<'a>(node: Node<'a, '_>, name: &str, file: &Path) -> &'a str {
    node.attribute(name)
        .unwrap_or_else(|| panic!("{}: <{}> without {name}", file.display(), node.tag_name().name()))
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
