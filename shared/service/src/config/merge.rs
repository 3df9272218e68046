//! A TOML document that remembers where each key was written.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::MAX_PROBLEMS;
use super::{DEPTH_MAX, Problem};

/// Where a key was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: Rc<str>,
    /// From 1.
    pub(super) line: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    /// `None` only for the root of nothing.
    pub(super) origin: Option<Origin>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Leaf(toml::Value),
}

impl Node {
    pub(super) const fn empty() -> Self {
        Self { origin: None, content: Content::Table(BTreeMap::new()) }
    }

    /// Lays `over` on top: tables merge, anything else is replaced.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.content, over.content) {
            (Content::Table(below), Content::Table(above)) => {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(old) => old.merge(node),
                        None => {
                            below.insert(key, node);
                        }
                    }
                }
            }
            (below, above) => {
                *below = above;
                self.origin = over.origin;
            }
        }
    }

    pub(super) fn get(&self, path: &[&str]) -> Option<&Self> {
        match path {
            [] => Some(self),
            [first, rest @ ..] => self.child(first)?.get(rest),
        }
    }

    /// The origin of a path, or of the nearest table above it.
    pub(super) fn nearest(&self, path: &[&str]) -> Option<&Origin> {
        let below = match path {
            [] => None,
            [first, rest @ ..] => self.child(first).and_then(|child| child.nearest(rest)),
        };
        below.or(self.origin.as_ref())
    }

    /// Takes a key or an element of a key out, so that the rest can be read. Whether it was there.
    pub(super) fn remove(&mut self, path: &[&str]) -> bool {
        match (path, &mut self.content) {
            ([key], Content::Table(table)) => table.remove(*key).is_some(),
            ([first, rest @ ..], Content::Table(table)) => {
                table.get_mut(*first).is_some_and(|child| child.remove(rest))
            }
            ([first, rest @ ..], Content::Array(array)) => {
                let index = first.parse::<usize>().ok().filter(|index| *index < array.len());
                match (index, rest) {
                    (None, _) => false,
                    (Some(index), []) => {
                        array.remove(index);
                        true
                    }
                    (Some(index), rest) => array[index].remove(rest),
                }
            }
            ([], _) | (_, Content::Leaf(_)) => false,
        }
    }

    /// The names of the tables directly in this one.
    pub(super) fn tables(&self) -> Vec<String> {
        match &self.content {
            Content::Table(table) => table
                .iter()
                .filter(|(_, node)| matches!(node.content, Content::Table(_)))
                .map(|(name, _)| name.clone())
                .collect(),
            Content::Array(_) | Content::Leaf(_) => Vec::new(),
        }
    }

    pub(super) fn to_value(&self) -> toml::Value {
        match &self.content {
            Content::Table(table) => {
                toml::Value::Table(table.iter().map(|(key, node)| (key.clone(), node.to_value())).collect())
            }
            Content::Array(array) => toml::Value::Array(array.iter().map(Self::to_value).collect()),
            Content::Leaf(value) => value.clone(),
        }
    }

    fn child(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Table(table) => table.get(key),
            Content::Array(array) => array.get(key.parse::<usize>().ok()?),
            Content::Leaf(_) => None,
        }
    }
}

/// Reads one document.
pub(super) fn parse(name: &str, text: &str) -> Result<Node, Vec<Problem>> {
    let place = Place::new(name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.into_inner();
    let mut problems: Vec<Problem> = errors
        .iter()
        .take(MAX_PROBLEMS)
        .map(|error| Problem {
            file: Some(name.to_owned()),
            line: error.span().map(|span| place.at(span.start).line),
            message: error.message().replace('\n', ", "),
        })
        .collect();
    if problems.is_empty()
        && let Some(offset) = too_deep(&document)
    {
        let text = format!("more than {DEPTH_MAX} tables and lists within each other");
        problems.push(Problem::at(Some(&place.at(offset)), text));
    }
    if !problems.is_empty() {
        take_apart(document);
        return Err(problems);
    }
    let content = table(document, &place).map_err(|problem| vec![problem])?;
    Ok(Node { origin: Some(place.at(0)), content })
}

/// The offset of a table or list that is more than [`DEPTH_MAX`] deep.
///
/// The parser bounds dotted keys, lists and inline tables each for itself; within each other they
/// go so deep that whoever follows them by recursion exhausts the stack.
fn too_deep(document: &DeTable<'_>) -> Option<usize> {
    let mut open: Vec<_> = document.iter().map(|(_, value)| (value, 1)).collect();
    while let Some((value, depth)) = open.pop() {
        match value.get_ref() {
            DeValue::Table(_) | DeValue::Array(_) if depth == DEPTH_MAX => return Some(value.span().start),
            DeValue::Table(table) => open.extend(table.iter().map(|(_, inner)| (inner, depth + 1))),
            DeValue::Array(array) => open.extend(array.iter().map(|inner| (inner, depth + 1))),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
    None
}

/// Drops a document that may be too deep to be dropped by recursion.
fn take_apart(document: DeTable<'_>) {
    let mut open = vec![DeValue::Table(document)];
    while let Some(value) = open.pop() {
        match value {
            DeValue::Table(table) => open.extend(table.into_iter().map(|(_, inner)| inner.into_inner())),
            DeValue::Array(array) => open.extend(array.into_iter().map(Spanned::into_inner)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

/// Where in a file an offset is.
struct Place {
    file: Rc<str>,
    /// The offset of each line's end.
    ends: Vec<usize>,
}

impl Place {
    fn new(name: &str, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(end, _)| end).collect();
        Self { file: name.into(), ends }
    }

    fn at(&self, offset: usize) -> Origin {
        Origin { file: self.file.clone(), line: 1 + self.ends.partition_point(|end| *end < offset) }
    }
}

fn table(table: DeTable<'_>, place: &Place) -> Result<Content, Problem> {
    let mut nodes = BTreeMap::new();
    for (key, value) in table {
        let origin = place.at(key.span().start);
        nodes.insert(key.into_inner().into_owned(), node(value, origin, place)?);
    }
    Ok(Content::Table(nodes))
}

fn node(value: Spanned<DeValue<'_>>, origin: Origin, place: &Place) -> Result<Node, Problem> {
    let span = value.span();
    let content = match value.into_inner() {
        DeValue::Table(inner) => table(inner, place)?,
        DeValue::Array(array) => {
            let mut elements = Vec::new();
            for element in array {
                let origin = place.at(element.span().start);
                elements.push(node(element, origin, place)?);
            }
            Content::Array(elements)
        }
        leaf @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => {
            let value = toml::Value::deserialize(ValueDeserializer::from(Spanned::new(span, leaf)))
                .map_err(|error| Problem::at(Some(&origin), error.message().to_owned()))?;
            Content::Leaf(value)
        }
    };
    Ok(Node { origin: Some(origin), content })
}
