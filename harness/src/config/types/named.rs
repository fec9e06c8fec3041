//! What is chosen by name, with settings of its own: `"passkey"`, or `{ passkey = { digits = 3 } }`.

use schemars::{Schema, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt;

/// A name and settings; what these leave out gets its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The name.
    pub id: String,
    /// The settings.
    pub settings: Map<String, Value>,
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.settings.is_empty() {
            true => self.id.serialize(to),
            false => {
                Map::from_iter([(self.id.clone(), self.settings.clone().into())]).serialize(to)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Named, D::Error> {
        from.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or { NAME = { its settings } }")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<Named, E> {
        Ok(Named {
            id: id.into(),
            settings: Map::new(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        let one = || A::Error::custom("expected one table, called by a name");
        let (id, settings) = map.next_entry()?.ok_or_else(one)?;
        match map.next_key::<String>()? {
            Some(_) => Err(one()),
            None => Ok(Named { id, settings }),
        }
    }
}

/// The JSON Schema of one of several names, each with the schema of its settings.
pub(crate) fn schema(
    plain: &[&str],
    with_settings: impl Iterator<Item = (String, Value)>,
) -> Schema {
    let settings: Map<String, Value> = with_settings
        .map(|(id, mut schema)| {
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("$schema");
            }
            (id, schema)
        })
        .collect();
    let names: Vec<&str> = plain
        .iter()
        .copied()
        .chain(settings.keys().map(String::as_str))
        .collect();
    json_schema!({
        "oneOf": [
            { "enum": names },
            {
                "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": settings,
            },
        ],
    })
}
