//! What a `JSONPath` query may cost on an answer, reckoned before it is run.
//!
//! The library that runs it can't be stopped, and `$..*..*..*` over a deep answer takes minutes. So the most that
//! each segment can select is added up from the shape of the answer; a query that could take more than its
//! budget isn't run. Its own reader can't be stopped either and tries each level of nesting several ways, so a query
//! that nests deeply isn't read. The reckoning is an upper bound: how often the same node can stand in a list of nodes is
//! followed along (RFC 9535 section 2.5 lets `..` select a node once for each of its ancestors).

use serde_json::Value;
use serde_json_path::JsonPath;

/// Values of one answer that are read.
const VALUES_MAX: usize = 300_000;
/// Brackets and parentheses of a query within one another; each takes the reader several times as long.
const NESTED_MAX: usize = 8;
/// Characters of a query.
const QUERY_CHARS_MAX: usize = 2_000;
/// Steps of a function that takes a pattern, which is built anew for each node.
const PATTERN: f64 = 2_000.0;

/// Reads a query within the bounds.
///
/// # Errors
/// What is wrong with it: the library's own words, or the bound that it is beyond.
pub fn query(text: &str) -> Result<JsonPath, String> {
    if text.chars().count() > QUERY_CHARS_MAX {
        return Err(format!("it has more than {QUERY_CHARS_MAX} characters"));
    }
    if nested(text) > NESTED_MAX {
        return Err(format!("it nests deeper than {NESTED_MAX} levels"));
    }
    JsonPath::parse(text).map_err(|error| error.to_string())
}

/// How deep brackets and parentheses stand in one another, those in quotes left out.
fn nested(text: &str) -> usize {
    let (mut depth, mut most, mut quote, mut escaped) = (0_usize, 0, None, false);
    for character in text.chars() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[' | '(') => {
                depth += 1;
                most = most.max(depth);
            }
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Reads JSON within the bounds.
///
/// # Errors
/// Not JSON, or beyond a bound.
pub fn parse(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    if values(text) > VALUES_MAX {
        return Err(format!(
            "our limit: the JSON has more than {VALUES_MAX} values"
        ));
    }
    serde_json::from_str(text).map_err(|error| format!("the body is not JSON ({error})"))
}

/// At least as many as there are values: what begins or divides them outside of strings.
fn values(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b',' | b'[' | b'{') => count += 1,
            _ => {}
        }
    }
    count
}

/// The most steps that `path` can take on `json`.
#[must_use]
pub fn cost(path: &JsonPath, json: &Value) -> u64 {
    let text = path.to_string();
    let mut reader = Reader {
        rest: &text,
        json,
        shape: Shape::of(json),
    };
    reader.skip("$");
    // Beyond the integers it is too much in any case.
    reader.query(Nodes {
        size: 1.0,
        times: 1.0,
    }) as u64
}

/// What of an answer bounds a query.
struct Shape {
    values: f64,
    /// Levels of nesting.
    depth: f64,
    /// Over all values, how many values they stand in, themselves included.
    paths: f64,
    /// The most members of one value.
    widest: f64,
}

impl Shape {
    fn of(json: &Value) -> Self {
        let mut shape = Self {
            values: 0.0,
            depth: 0.0,
            paths: 0.0,
            widest: 0.0,
        };
        let mut open = vec![(json, 1.0)];
        while let Some((value, depth)) = open.pop() {
            shape.values += 1.0;
            shape.depth = f64::max(shape.depth, depth);
            shape.paths += depth;
            shape.widest = shape.widest.max(members(value) as f64);
            match value {
                Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1.0))),
                Value::Object(map) => open.extend(map.values().map(|item| (item, depth + 1.0))),
                _ => {}
            }
        }
        shape
    }
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

/// How many members of this name there are.
fn named(json: &Value, name: &str) -> f64 {
    let (mut count, mut open) = (0.0, vec![json]);
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                if map.contains_key(name) {
                    count += 1.0;
                }
                open.extend(map.values());
            }
            _ => {}
        }
    }
    count
}

/// A query that the library has accepted, read once more for what it can cost.
struct Reader<'t, 'j> {
    rest: &'t str,
    json: &'j Value,
    shape: Shape,
}

/// The list of nodes that a query has come to.
struct Nodes {
    /// At most so many.
    size: f64,
    /// At most so often the same one.
    times: f64,
}

/// One selector: how much it can select, and the most that all nodes together can give it.
struct Selected {
    size: f64,
    cost: f64,
}

impl<'t> Reader<'t, '_> {
    fn skip(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The segments after `$` or `@`.
    fn query(&mut self, mut nodes: Nodes) -> f64 {
        let mut cost = nodes.size;
        loop {
            let deep = self.skip("..");
            if deep {
                let all = (nodes.size * self.shape.values).min(nodes.times * self.shape.paths);
                nodes.times *= self.shape.depth;
                nodes.size = all;
                cost += all;
            } else if !self.rest.starts_with(['.', '[']) {
                return cost;
            }
            let selected = if self.skip("[") {
                self.selectors(&nodes)
            } else {
                self.skip(".");
                vec![self.shorthand(&nodes)]
            };
            nodes.times *= selected.len() as f64;
            nodes.size = selected.iter().map(|s| s.size).sum();
            cost += selected.iter().map(|s| s.cost + s.size).sum::<f64>();
            if !cost.is_finite() || cost > 1e15 {
                return 1e15;
            }
        }
    }

    /// What a selector of members can select: all members of the nodes.
    fn all(&self, nodes: &Nodes) -> f64 {
        (nodes.size * self.shape.widest).min(nodes.times * self.shape.values)
    }

    fn by_name(&self, nodes: &Nodes, name: &str) -> Selected {
        // Written with an escape, it is not looked up but reckoned like any name.
        let known = if name.contains('\\') {
            self.shape.values
        } else {
            named(self.json, name)
        };
        Selected {
            size: nodes.size.min(nodes.times * known),
            cost: nodes.size,
        }
    }

    /// `.name` or `.*`.
    fn shorthand(&mut self, nodes: &Nodes) -> Selected {
        if self.skip("*") {
            let size = self.all(nodes);
            return Selected { size, cost: 0.0 };
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || !c.is_ascii()))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.by_name(nodes, name)
    }

    /// The selectors up to `]`.
    fn selectors(&mut self, nodes: &Nodes) -> Vec<Selected> {
        let mut selected = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let one = if self.skip("*") {
                Selected {
                    size: self.all(nodes),
                    cost: 0.0,
                }
            } else if self.skip("?") {
                let candidates = Nodes {
                    size: self.all(nodes),
                    times: nodes.times,
                };
                Selected {
                    cost: self.filter(&candidates),
                    size: candidates.size,
                }
            } else if self.rest.starts_with(['\'', '"']) {
                let name = self.quoted();
                self.by_name(nodes, name)
            } else {
                let end = self.rest.find([',', ']']).unwrap_or(self.rest.len());
                let (index, rest) = self.rest.split_at(end);
                self.rest = rest;
                let size = if index.contains(':') {
                    self.all(nodes)
                } else {
                    nodes.size
                };
                Selected { size, cost: 0.0 }
            };
            selected.push(one);
            if !self.skip(",") {
                self.skip("]");
                return selected;
            }
        }
    }

    /// A quoted text without its quotes.
    fn quoted(&mut self) -> &'t str {
        let quote = self.rest.chars().next().unwrap_or('"');
        let inner = &self.rest[1..];
        let mut escaped = false;
        let end = inner.find(|c: char| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (text, rest) = inner.split_at(end.unwrap_or(inner.len()));
        self.rest = rest.get(1..).unwrap_or_default();
        text
    }

    /// What the expression of a filter costs for all nodes together; reads up to the `,` or `]` behind it.
    fn filter(&mut self, nodes: &Nodes) -> f64 {
        let mut cost = nodes.size;
        let mut open = 0_u32;
        // Whether what stands before an operator is a query, and the operator a comparison.
        let (mut is_query, mut compares) = (false, false);
        loop {
            self.rest = self.rest.trim_start();
            let Some(next) = self.rest.chars().next() else {
                return cost;
            };
            match next {
                ']' => return cost,
                ',' if open == 0 => return cost,
                '\'' | '"' => {
                    cost += nodes.size * self.quoted().len() as f64 / 64.0;
                    (is_query, compares) = (false, false);
                    continue;
                }
                '@' | '$' => {
                    self.rest = &self.rest[1..];
                    let (size, times) = (nodes.size, nodes.times);
                    cost += if next == '@' {
                        self.query(Nodes { size, times })
                    } else {
                        let (size, times) = (1.0, 1.0);
                        nodes.size * self.query(Nodes { size, times })
                    };
                    if compares && is_query {
                        // Each may be as large as all that is in a node.
                        cost += (size * self.shape.values).min(times * self.shape.paths);
                    }
                    (is_query, compares) = (true, false);
                    continue;
                }
                '(' => open += 1,
                ')' => open = open.saturating_sub(1),
                '=' | '!' | '<' | '>' => compares = true,
                '&' | '|' => (is_query, compares) = (false, false),
                'm' | 's'
                    if self.rest.starts_with("match(") || self.rest.starts_with("search(") =>
                {
                    cost += nodes.size * PATTERN;
                }
                _ => {}
            }
            self.rest = &self.rest[next.len_utf8()..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reckoned(path: &str, json: &Value) -> u64 {
        cost(&JsonPath::parse(path).unwrap(), json)
    }

    fn deep(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| serde_json::json!({ "a": inner }))
    }

    /// A page of a list, as partners send them.
    fn list(items: usize) -> Value {
        let item = |n: usize| serde_json::json!({ "id": n, "state": "up", "tags": ["a", "b"], "owner": { "id": n } });
        serde_json::json!({ "items": (0..items).map(item).collect::<Vec<_>>(), "status": "up" })
    }

    #[test]
    fn a_query_that_nests_is_read_at_once_or_refused() {
        let began = std::time::Instant::now();
        for (open, close) in [
            ("[?@", "]"),
            ("[?(@", ")]"),
            ("[?count(@", ")]"),
            ("[?!(@", ")]"),
        ] {
            for levels in [1, NESTED_MAX / open.matches(['[', '(']).count(), 40, 1000] {
                for end in ["", "x == ", "]"] {
                    let text = format!("${}{end}{}", open.repeat(levels), close.repeat(levels));
                    let read = query(&text);
                    assert!(levels < 40 || read.is_err(), "{text}");
                }
            }
        }
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(2), "{took:?}");
        assert_eq!(nested("$.a['[[[['][?@.b == \"((\" && (@.c)]"), 2);
        assert!(query("$.items[?@.tags[?@ == 'a']].id").is_ok());
    }

    #[test]
    fn ordinary_queries_cost_little() {
        let json = list(2000);
        for path in [
            "$.status",
            "$['status']",
            "$.items[0].id",
            "$.items[*].state",
            "$..id",
            "$..owner..id",
            "$.items[?@.state == 'up'].id",
            "$.items[?@.id > 5 && @.state != 'up']",
            "$.items[?count(@.tags[*]) > 1]",
            "$.items[1:10:2]['id', 'state']",
            "$..[?@.id == 7]",
        ] {
            let cost = reckoned(path, &json);
            assert!(cost < 1_000_000, "{path}: {cost}");
        }
    }

    #[test]
    fn what_grows_without_end_costs_too_much() {
        for path in [
            "$..*..*..*..*..*",
            "$..a..a..a..a..a",
            "$..[*,*]..[*,*]..*",
            "$..[?count(@..*..*..*) > 0]",
            "$[?count($..*..*..*..*) > 1]",
            "$..*[?@..* == $..a]",
        ] {
            if let Ok(path) = JsonPath::parse(path) {
                let cost = cost(&path, &deep(120));
                assert!(cost > 1_000_000, "{path}: {cost}");
            }
        }
        assert!(
            reckoned(
                "$..[*,*,*,*,*,*,*,*][*,*,*,*,*,*,*,*][*,*,*,*,*,*,*,*]",
                &list(100)
            ) > 1_000_000
        );
        assert!(reckoned("$.items[?search(@.state, 'u+')]", &list(2000)) > 1_000_000);
    }

    #[test]
    fn it_is_never_less_than_what_is_selected() {
        let answers = [
            deep(12),
            list(12),
            serde_json::json!([[1, [2, [3]]], { "a b": { "a": [0] } }]),
        ];
        for path in [
            "$",
            "$..*",
            "$..*..*",
            "$..a",
            "$..a..a",
            "$.items[*]",
            "$..[*,*]",
            "$['a b'].a[0]",
            "$..[0]",
            "$..[::2]",
            "$.*.*.*",
            "$..[?@.id]",
            "$.items[?@.id == 3 || @.state == ',]'].id",
            "$..['id','state']",
        ] {
            let path = JsonPath::parse(path).unwrap();
            for json in &answers {
                let selected = path.query(json).all().len() as u64;
                assert!(cost(&path, json) >= selected, "{path}");
            }
        }
    }

    #[test]
    fn values_are_bounded() {
        let wide = format!("[{}0]", "0,".repeat(400_000));
        let error = parse(&wide).unwrap_err();
        assert_eq!(error, "our limit: the JSON has more than 300000 values");
        let commas = format!("[\"{}\"]", "\\\",".repeat(400_000));
        assert!(parse(&commas).is_ok());
        assert!(
            parse("{")
                .unwrap_err()
                .starts_with("the body is not JSON (")
        );
    }
}
