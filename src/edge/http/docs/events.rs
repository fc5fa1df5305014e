//! The AsyncAPI document as a page for people.

use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = include_str!("pages/events.html");

/// The page.
pub fn page(document: &Value) -> Vec<u8> {
    let mut out = String::from(HEAD);
    // Writing into a string cannot fail.
    let _ = paragraphs(&mut out, document);
    out.push_str("</main>\n</html>\n");
    out.into_bytes()
}

fn paragraphs(out: &mut String, document: &Value) -> std::fmt::Result {
    for (name, channel) in object(&document["channels"]) {
        let title = text(&channel["title"]);
        writeln!(out, "<h2 id=\"{}\">{}</h2>", escape(name), escape(title))?;
        if let Some(address) = channel["address"].as_str() {
            writeln!(out, "<p><code>{}</code></p>", escape(address))?;
        }
        writeln!(out, "<p>{}</p>", prose(text(&channel["description"])))?;
        close_codes(out, &channel["x-close-codes"])?;
        for message in
            object(&channel["messages"]).map(|(_, reference)| follow(document, reference))
        {
            let payload = serde_json::to_string_pretty(&message["payload"]).unwrap_or_default();
            writeln!(
                out,
                "<details><summary><code>{}</code> {}</summary><pre>{}</pre></details>",
                escape(text(&message["name"])),
                prose(text(&message["summary"])),
                linked(&escape(&payload)),
            )?;
        }
    }
    writeln!(out, "<h2 id=\"schemas\">Schemas</h2>")?;
    for (name, schema) in object(&document["components"]["schemas"]) {
        let shown = serde_json::to_string_pretty(schema).unwrap_or_default();
        writeln!(
            out,
            "<details id=\"schema-{name}\"><summary><code>{name}</code> {}</summary><pre>{}</pre></details>",
            prose(text(&schema["description"])),
            linked(&escape(&shown)),
        )?;
    }
    Ok(())
}

fn close_codes(out: &mut String, codes: &Value) -> std::fmt::Result {
    let Some(codes) = codes.as_array() else { return Ok(()) };
    writeln!(out, "<table><tr><th>close code</th><th>meaning</th><th>what to do</th></tr>")?;
    for code in codes {
        let (meaning, advice) = (text(&code["meaning"]), text(&code["advice"]));
        writeln!(
            out,
            "<tr><td>{}</td><td>{meaning}</td><td>{}</td></tr>",
            code["code"],
            prose(advice)
        )?;
    }
    writeln!(out, "</table>")
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn follow<'a>(document: &'a Value, reference: &'a Value) -> &'a Value {
    let target = text(&reference["$ref"]).strip_prefix('#');
    target.and_then(|inside| document.pointer(inside)).unwrap_or(&Value::Null)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between backquotes is code.
fn prose(text: &str) -> String {
    let escaped = escape(text);
    let parts = escaped.split('`').enumerate();
    parts
        .map(
            |(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() },
        )
        .collect()
}

/// References to schemas lead to them.
fn linked(escaped: &str) -> String {
    const TO: &str = "#/components/schemas/";
    let mut parts = escaped.split(TO);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("&quot;").unwrap_or((part, ""));
        let _ = write!(out, "<a href=\"#schema-{name}\">{name}</a>&quot;{rest}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_description_says_is_text_and_its_code_is_marked() {
        assert_eq!(prose("a <b> `c<d>`"), "a &lt;b&gt; <code>c&lt;d&gt;</code>");
        assert_eq!(
            linked(&escape(r##""$ref": "#/components/schemas/X""##)),
            r##"&quot;$ref&quot;: &quot;<a href="#schema-X">X</a>&quot;"##
        );
    }
}
