//! The built-in model's vectors: words and their beginnings, each hashed to a place and a sign. Texts that share words
//! lie close to each other; that is all the meaning there is.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{MODEL, tokens};

/// How long a vector is where nobody says.
const LENGTH: usize = 256;
/// The longest that is made.
const MOST: u64 = 4096;

/// The answer to an embeddings request. What a request cannot have is refused by name.
pub fn answer(body: &Value) -> Result<Value, String> {
    let length = match body["dimensions"].as_u64() {
        None => LENGTH,
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|_| n <= MOST)
            .ok_or_else(|| format!("more than {MOST} dimensions"))?,
    };
    let in_base64 = match body["encoding_format"].as_str() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err("an `encoding_format` other than float and base64".to_owned()),
    };
    let inputs: Vec<String> = match &body["input"] {
        Value::Array(items) if items.iter().all(Value::is_number) => vec![text(&body["input"])],
        Value::Array(items) => items.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, length);
            let embedding = if in_base64 { encoded(&vector).into() } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let read: u64 = inputs.iter().map(|text| tokens(text)).sum();
    Ok(json!({"object": "list", "data": data, "model": MODEL,
        "usage": {"prompt_tokens": read, "total_tokens": read}}))
}

/// Token ids are words to it, like anything that is not a text.
fn text(input: &Value) -> String {
    match input {
        Value::String(text) => text.clone(),
        Value::Array(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn vector(text: &str, length: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; length];
    let mut add = |feature: &str, weight: f32| {
        let hash = fnv(feature.as_bytes());
        let place = usize::try_from(hash % length as u64).unwrap_or(0);
        vector[place] += if hash >> 63 == 0 { weight } else { -weight };
    };
    let text = text.to_lowercase();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        add(word, 1.0);
        let stem = word.char_indices().nth(4).map_or(word, |(at, _)| &word[..at]);
        add(&format!("{stem}…"), 0.5);
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    } else {
        // Without a word, or where all cancel out: still a vector of length one.
        vector[0] = 1.0;
    }
    vector
}

/// 32-bit floats, little-endian, in base64: as OpenAI writes them.
fn encoded(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

/// FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(body: &Value) -> Vec<Vec<f64>> {
        let data = answer(body).expect("an answer")["data"].take();
        let numbers = |item: &Value| -> Vec<f64> {
            item["embedding"].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect()
        };
        data.as_array().expect("a list").iter().map(numbers).collect()
    }

    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_same_text_has_the_same_vector_of_length_one_and_likeness_shows() {
        let body =
            json!({"input": ["The cat sat on the mat", "A cat on a mat", "Quarterly revenue rose", "…"]});
        let all = vectors(&body);
        assert_eq!(all, vectors(&body));
        for vector in &all {
            assert_eq!(vector.len(), LENGTH);
            assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
        }
        assert!(cosine(&all[0], &all[1]) > cosine(&all[0], &all[2]) + 0.2);
    }

    #[test]
    fn dimensions_and_base64_are_honoured() {
        for length in [1, 8, 1536, 4096] {
            assert_eq!(vectors(&json!({"input": "cat", "dimensions": length}))[0].len(), length);
        }
        let plain = vectors(&json!({"input": "cat", "dimensions": 8}));
        let packed = answer(&json!({"input": "cat", "dimensions": 8, "encoding_format": "base64"}));
        let packed = packed.expect("an answer")["data"][0]["embedding"].take();
        let bytes = STANDARD.decode(packed.as_str().expect("a text")).expect("base64");
        let floats: Vec<f64> = bytes
            .chunks_exact(4)
            .map(|four| f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]])))
            .collect();
        assert_eq!(floats, plain[0]);
        assert!(answer(&json!({"input": "cat", "dimensions": 4097})).expect_err("long").contains("4096"));
        assert!(answer(&json!({"input": "cat", "encoding_format": "int8"})).is_err());
    }

    #[test]
    fn tokens_are_counted_and_ids_are_one_input_or_several() {
        assert_eq!(vectors(&json!({"input": [1, 2, 3]})).len(), 1);
        assert_eq!(vectors(&json!({"input": [[1, 2], [3]]})).len(), 2);
        let answer = answer(&json!({"input": ["four", "four"]})).expect("an answer");
        assert_eq!(answer["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    }
}
