//! A text as a value, and where in the text each part of it stands.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use super::error::{CompileError, Problem};

/// A YAML text (JSON is YAML too), read.
pub(super) struct Source {
    /// What it says.
    pub(super) value: Value,
    /// Line and column of keys and of values, by JSON Pointer.
    keys: HashMap<String, (u64, u64)>,
    values: HashMap<String, (u64, u64)>,
}

impl Source {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Result<Self, CompileError> {
        let node: Spanned<Node> = serde_saphyr::from_str(text).map_err(|e| {
            let place = e.location().filter(|l| l.line() > 0).map(|l| (l.line(), l.column()));
            let what = e.without_snippet().to_string();
            // The place is said once, in one way.
            let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
            CompileError { problems: vec![Problem { place, what }] }
        })?;
        let mut source = Self { value: Value::Null, keys: HashMap::new(), values: HashMap::new() };
        source.value = source.take(node, &mut String::new());
        Ok(source)
    }

    fn take(&mut self, node: Spanned<Node>, pointer: &mut String) -> Value {
        self.values.insert(pointer.clone(), place(&node.referenced));
        let length = pointer.len();
        match node.value {
            Node::Plain(value) => value,
            Node::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    push(pointer, &index.to_string());
                    list.push(self.take(item, pointer));
                    pointer.truncate(length);
                }
                Value::Array(list)
            }
            Node::Map(members) => {
                let mut map = Map::new();
                for (key, value) in members {
                    push(pointer, &key.value);
                    self.keys.insert(pointer.clone(), place(&key.referenced));
                    map.insert(key.value, self.take(value, pointer));
                    pointer.truncate(length);
                }
                Value::Object(map)
            }
        }
    }

    /// Where the key at a pointer stands; where there is none, what is nearest above it.
    pub(super) fn key(&self, pointer: &str) -> Option<(u64, u64)> {
        self.keys.get(pointer).copied().or_else(|| self.value(pointer))
    }

    /// Where the value at a pointer stands, or what is nearest above it.
    pub(super) fn value(&self, pointer: &str) -> Option<(u64, u64)> {
        let mut at = pointer;
        loop {
            if let Some(place) = self.values.get(at) {
                return Some(*place);
            }
            at = &at[..at.rfind('/')?];
        }
    }
}

/// Adds a step to a pointer (RFC 6901).
pub(super) fn push(pointer: &mut String, part: &str) {
    pointer.push('/');
    pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
}

/// A pointer one step further.
pub(super) fn under(pointer: &str, part: &str) -> String {
    let mut further = pointer.to_owned();
    push(&mut further, part);
    further
}

fn place(location: &Location) -> (u64, u64) {
    (location.line(), location.column())
}

/// A value whose parts know their places.
enum Node {
    Plain(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Node, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(Node::Plain(v.into()))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(Node::Plain(v.into()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(Node::Plain(v.into()))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Node, E> {
        let number = serde_json::Number::from_f64(v).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Node::Plain(Value::Number(number)))
    }
    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(Node::Plain(v.into()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_knows_its_place() {
        let source = Source::read("a: 1\nb:\n  - x: on it\n    y/z: {deep: [1.5, null]}\n").expect("reads");
        assert_eq!(
            source.value,
            serde_json::json!({"a": 1, "b": [{"x": "on it", "y/z": {"deep": [1.5, null]}}]})
        );
        assert_eq!(source.key("/b/0/y~1z"), Some((4, 5)));
        assert_eq!(source.value("/b/0/y~1z/deep/1"), Some((4, 23)));
        assert_eq!(source.value("/b/0/nothing/here"), Some((3, 5)), "the nearest above");
    }

    #[test]
    fn json_is_yaml_and_what_is_neither_has_a_place() {
        assert_eq!(Source::read(r#"{"a": {"b": [true]}}"#).expect("reads").value("/a/b/0"), Some((1, 14)));
        for (text, line) in [("a: [", 1), ("a: 1\nb: 2\na: 3\n", 3), ("a: 'x\n", 1)] {
            let error = Source::read(text).err().expect("refused");
            assert!(error.problems[0].place.is_some_and(|(l, c)| l >= line && c > 0), "{error}");
        }
    }
}
