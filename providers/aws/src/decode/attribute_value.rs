//! DynamoDB's tagged values (`{"S":"x"}`) as plain JSON
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>).

use serde_json::{Map, Number, Value};

/// An item: a map of names to tagged values.
pub(super) fn item(value: &Value) -> Result<Map<String, Value>, String> {
    let Value::Object(item) = value else { return Err("an item is an object".to_owned()) };
    let plain = |(name, value): (&String, &Value)| match self::value(value) {
        Ok(value) => Ok((name.clone(), value)),
        Err(why) => Err(format!("`{name}`: {why}")),
    };
    item.iter().map(plain).collect()
}

/// Binary stays in base64, sets are lists, and a number that JSON cannot hold (38 digits are possible) stays a text.
fn value(value: &Value) -> Result<Value, String> {
    let tagged = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    let Some((tag, inner)) = tagged else {
        return Err(format!("not a tagged value: {}", cut(&value.to_string())));
    };
    Ok(match (tag.as_str(), inner) {
        ("S" | "B", Value::String(_)) | ("BOOL", Value::Bool(_)) | ("SS" | "BS", Value::Array(_)) => {
            inner.clone()
        }
        ("N", Value::String(text)) => number(text)?,
        ("NS", Value::Array(list)) => {
            let text = |v: &Value| {
                v.as_str().ok_or_else(|| "a number in `NS` is a text".to_owned()).and_then(number)
            };
            list.iter().map(text).collect::<Result<_, String>>()?
        }
        ("L", Value::Array(list)) => list.iter().map(self::value).collect::<Result<_, String>>()?,
        ("M", object @ Value::Object(_)) => Value::Object(item(object)?),
        ("NULL", Value::Bool(true)) => Value::Null,
        _ => return Err(format!("tag `{}` with {}", cut(tag), cut(&inner.to_string()))),
    })
}

fn number(text: &str) -> Result<Value, String> {
    if let Ok(n) = text.parse::<i64>() {
        return Ok(n.into());
    }
    if let Ok(n) = text.parse::<u64>() {
        return Ok(n.into());
    }
    let float = text.parse::<f64>().map_err(|_| format!("`{}` is not a number", cut(text)))?;
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    // 15 digits are what every f64 keeps.
    match Number::from_f64(float) {
        Some(number) if digits <= 15 => Ok(number.into()),
        _ if float.is_nan() || text.contains(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E') => {
            Err(format!("`{}` is not a number", cut(text)))
        }
        _ => Ok(text.into()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_tag_becomes_plain_json() {
        let tagged = json!({
            "s": {"S": "x"}, "n": {"N": "42"}, "f": {"N": "123.45"}, "long": {"N": "12345678901234567890123"},
            "b": {"B": "AAE="}, "yes": {"BOOL": true}, "none": {"NULL": true}, "set": {"SS": ["a", "b"]},
            "numbers": {"NS": ["1", "2.5"]}, "list": {"L": [{"S": "a"}, {"N": "1"}]},
            "map": {"M": {"inner": {"BOOL": false}}}
        });
        let plain = json!({
            "s": "x", "n": 42, "f": 123.45, "long": "12345678901234567890123", "b": "AAE=", "yes": true, "none": null,
            "set": ["a", "b"], "numbers": [1, 2.5], "list": ["a", 1], "map": {"inner": false}
        });
        assert_eq!(Value::Object(item(&tagged).unwrap()), plain);
    }

    #[test]
    fn what_is_no_tagged_value_is_named() {
        for (bad, what) in [
            (json!({"a": 1}), "`a`: not a tagged value"),
            (json!({"a": {"S": "x", "N": "1"}}), "`a`"),
            (json!({"a": {"N": "NaN"}}), "not a number"),
            (json!({"a": {"N": "inf"}}), "not a number"),
            (json!({"a": {"X": 1}}), "tag `X`"),
            (json!([]), "object"),
        ] {
            let error = item(&bad).unwrap_err();
            assert!(error.contains(what), "{bad}: {error}");
        }
    }
}
