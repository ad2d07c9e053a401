//! Blocks, which HCL and JSON write differently: `listener "tcp" { … }`, `{"listener": {"tcp": { … }}}`, lists of either.

use coffer_core::policy::hcl::{Item, Key, Node, Value};

use super::value::{Fault, fault};

/// A block's label and what is in it, for each block that an item stands for.
pub(super) fn blocks(item: &Item) -> Result<Vec<(&Key, &[Item])>, Fault> {
    let shape = || fault(item.key.position.line, format!("{0} is written as: {0} \"kind\" {{ … }}", item.key.name));
    match item.labels.as_slice() {
        [label] => match &item.value.value {
            Value::Object(body) => Ok(vec![(label, body.as_slice())]),
            _ => Err(shape()),
        },
        [] => {
            let mut found = Vec::new();
            for kinds in objects(&item.value).ok_or_else(shape)? {
                for kind in kinds {
                    let bodies = match kind.labels.is_empty() {
                        true => objects(&kind.value).ok_or_else(shape)?,
                        false => return Err(shape()),
                    };
                    found.extend(bodies.into_iter().map(|body| (&kind.key, body)));
                }
            }
            // A block without a kind asks for something that nobody would give it.
            if found.is_empty() { Err(shape()) } else { Ok(found) }
        }
        [_, _, ..] => Err(shape()),
    }
}

/// An object, or a list of objects.
fn objects(node: &Node) -> Option<Vec<&[Item]>> {
    let object = |node| match node {
        &Node { value: Value::Object(ref items), .. } => Some(items.as_slice()),
        _ => None,
    };
    match &node.value {
        Value::List(nodes) => nodes.iter().map(object).collect(),
        Value::Object(items) => Some(vec![items.as_slice()]),
        Value::Bool(_) | Value::Float(_) | Value::Integer(_) | Value::Null | Value::String(_) => None,
    }
}
