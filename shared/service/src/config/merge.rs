//! A TOML document that remembers where each key was written.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::Problem;

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
    let file: Rc<str> = name.into();
    let origin_at = |offset: usize| Origin { file: file.clone(), line: line_of(text, offset) };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: &toml::de::Error| {
            let origin = origin_at(error.span().map_or(0, |span| span.start));
            Problem::at(Some(&origin), error.message().replace('\n', ", "))
        };
        return Err(errors.iter().map(problem).collect());
    }
    table(document.into_inner(), &origin_at)
        .map(|content| Node { origin: Some(origin_at(0)), content })
        .map_err(|problem| vec![problem])
}

fn table(table: DeTable<'_>, origin_at: &dyn Fn(usize) -> Origin) -> Result<Content, Problem> {
    let mut nodes = BTreeMap::new();
    for (key, value) in table {
        let origin = origin_at(key.span().start);
        nodes.insert(key.into_inner().into_owned(), node(value, origin, origin_at)?);
    }
    Ok(Content::Table(nodes))
}

fn node(
    value: Spanned<DeValue<'_>>,
    origin: Origin,
    origin_at: &dyn Fn(usize) -> Origin,
) -> Result<Node, Problem> {
    let span = value.span();
    let content = match value.into_inner() {
        DeValue::Table(inner) => table(inner, origin_at)?,
        DeValue::Array(array) => {
            let mut elements = Vec::new();
            for element in array {
                let place = origin_at(element.span().start);
                elements.push(node(element, place, origin_at)?);
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

fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}
