//! The text of an expression into a tree, by recursive descent with a bounded depth.

/// Names of the functions as errors list them, and how many arguments each takes.
const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("boolean", Function::Boolean, 1, 1),
    ("concat", Function::Concat, 2, 16),
    ("contains", Function::Contains, 2, 2),
    ("count", Function::Count, 1, 1),
    ("last", Function::Last, 0, 0),
    ("local-name", Function::LocalName, 0, 1),
    ("name", Function::Name, 0, 1),
    ("namespace-uri", Function::NamespaceUri, 0, 1),
    ("normalize-space", Function::NormalizeSpace, 0, 1),
    ("not", Function::Not, 1, 1),
    ("number", Function::Number, 0, 1),
    ("position", Function::Position, 0, 0),
    ("starts-with", Function::StartsWith, 2, 2),
    ("string", Function::String, 0, 1),
    ("string-length", Function::StringLength, 0, 1),
    ("sum", Function::Sum, 1, 1),
    ("true", Function::True, 0, 0),
    ("false", Function::False, 0, 0),
];

/// Deepest nesting of parentheses, predicates and calls.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone)]
pub(super) enum Expression {
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    Union(Box<Self>, Box<Self>),
    Negative(Box<Self>),
    Text(String),
    Number(f64),
    Call(Function, Vec<Self>),
    Path(Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Boolean,
    Concat,
    Contains,
    Count,
    False,
    Last,
    LocalName,
    Name,
    NamespaceUri,
    NormalizeSpace,
    Not,
    Number,
    Position,
    StartsWith,
    String,
    StringLength,
    Sum,
    True,
}

#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) start: Start,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(super) enum Start {
    Root,
    Here,
    /// An expression in parentheses, with predicates over all it selects.
    Of(Box<Expression>, Vec<Expression>),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) axis: Axis,
    pub(super) test: Test,
    pub(super) predicates: Vec<Expression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    SelfNode,
    Parent,
    Ancestor,
    Attribute,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// Any element, or any attribute on its axis.
    Any,
    /// Any name in this namespace.
    Namespace(String),
    Name {
        namespace: Option<String>,
        local: String,
    },
    Text,
    Node,
}

/// Reads the whole text; also tells whether an element name without prefix occurs.
pub(super) fn parse(
    text: &str,
    namespaces: &[(String, String)],
) -> Result<(Expression, bool), String> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        namespaces,
        bare_names: false,
    };
    reader.space();
    if reader.rest().is_empty() {
        return Err("column 1: the expression is empty".to_owned());
    }
    let expression = reader.expression()?;
    if reader.rest().is_empty() {
        return Ok((expression, reader.bare_names));
    }
    Err(match reader.rest().chars().next() {
        Some('+' | '-' | '*') => reader.error("arithmetic is not supported"),
        Some('$') => reader.error("variables are not supported"),
        _ if reader.word_is("div") || reader.word_is("mod") => {
            reader.error("arithmetic is not supported")
        }
        _ => reader.error(&format!("unexpected {}", reader.found())),
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    namespaces: &'a [(String, String)],
    bare_names: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes a token and the space after it.
    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
            self.space();
        }
        there
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.error(&format!("expected \"{token}\", found {}", self.found())))
        }
    }

    fn found(&self) -> String {
        match self.rest().chars().next() {
            Some(c) => format!("\"{c}\""),
            None => "the end".to_owned(),
        }
    }

    fn error(&self, what: &str) -> String {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: &str) -> String {
        let column = self.text[..at].chars().count() + 1;
        format!("column {column}: {what}")
    }

    /// Whether a whole word stands here.
    fn word_is(&self, word: &str) -> bool {
        self.rest()
            .strip_prefix(word)
            .is_some_and(|after| !after.starts_with(is_name_char))
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.word_is(word) && self.take(word)
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error(&format!("nested more than {DEPTH_MAX} levels deep")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Result<Expression, String> {
        let mut left = self.conjunction()?;
        while self.take_word("or") {
            left = Expression::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expression, String> {
        let mut left = self.comparison()?;
        while self.take_word("and") {
            left = Expression::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let mut left = self.negative()?;
        loop {
            let comparison = if self.take("!=") {
                Comparison::NotEqual
            } else if self.take("<=") {
                Comparison::LessOrEqual
            } else if self.take(">=") {
                Comparison::GreaterOrEqual
            } else if self.take("=") {
                Comparison::Equal
            } else if self.take("<") {
                Comparison::Less
            } else if self.take(">") {
                Comparison::Greater
            } else {
                return Ok(left);
            };
            left = Expression::Compare(comparison, Box::new(left), Box::new(self.negative()?));
        }
    }

    fn negative(&mut self) -> Result<Expression, String> {
        let mut negative = false;
        while self.take("-") {
            negative = !negative;
        }
        let inner = self.union()?;
        Ok(if negative {
            Expression::Negative(Box::new(inner))
        } else {
            inner
        })
    }

    fn union(&mut self) -> Result<Expression, String> {
        let at = self.at;
        let mut left = self.operand()?;
        while self.rest().starts_with('|') {
            if !selects(&left) {
                return Err(self.error_at(at, "| joins nodes, such as //a | //b"));
            }
            self.take("|");
            let at = self.at;
            let right = self.operand()?;
            if !selects(&right) {
                return Err(self.error_at(at, "| joins nodes, such as //a | //b"));
            }
            left = Expression::Union(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, String> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Err(self.error("expected an expression, found the end"));
        };
        let second = rest.chars().nth(1);
        match first {
            '"' | '\'' => self.literal(first),
            '$' => Err(self.error("variables are not supported")),
            '0'..='9' => Ok(self.number()),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => Ok(self.number()),
            '(' => {
                let at = self.at;
                self.take("(");
                let inner = self.deeper(Self::expression)?;
                self.need(")")?;
                self.filtered(at, inner)
            }
            '/' | '.' | '@' | '*' => self.path(),
            c if is_name_start(c) => match self.call()? {
                Some((at, call)) => self.filtered(at, call),
                None => self.path(),
            },
            _ => Err(self.error(&format!("expected an expression, found {}", self.found()))),
        }
    }

    /// Predicates and steps after something in parentheses.
    fn filtered(&mut self, at: usize, inner: Expression) -> Result<Expression, String> {
        if !self.rest().starts_with(['[', '/']) {
            return Ok(inner);
        }
        if !selects(&inner) {
            return Err(self.error_at(at, "only nodes can be followed by [ or /"));
        }
        let predicates = self.predicates()?;
        let mut steps = Vec::new();
        if self.rest().starts_with('/') {
            self.steps(&mut steps)?;
        }
        Ok(Expression::Path(Path {
            start: Start::Of(Box::new(inner), predicates),
            steps: fused(steps),
        }))
    }

    fn literal(&mut self, quote: char) -> Result<Expression, String> {
        let inside = &self.rest()[1..];
        let Some(end) = inside.find(quote) else {
            return Err(self.error(&format!("the text has no closing {quote}")));
        };
        let text = inside[..end].to_owned();
        self.at += end + 2;
        self.space();
        Ok(Expression::Text(text))
    }

    fn number(&mut self) -> Expression {
        let rest = self.rest();
        let mut dots = 0;
        let end = rest
            .find(|c: char| {
                dots += usize::from(c == '.');
                !(c.is_ascii_digit() || c == '.' && dots == 1)
            })
            .unwrap_or(rest.len());
        self.at += end;
        self.space();
        Expression::Number(rest[..end].parse().unwrap_or(f64::NAN))
    }

    /// A function call, if the name is followed by `(` and is no node test.
    fn call(&mut self) -> Result<Option<(usize, Expression)>, String> {
        let at = self.at;
        let name = self.name();
        self.space();
        if !self.rest().starts_with('(') || matches!(name, "text" | "node") {
            self.at = at;
            return Ok(None);
        }
        let Some((_, function, least, most)) = FUNCTIONS.iter().find(|f| f.0 == name) else {
            return Err(self.error_at(at, &unknown_function(name)));
        };
        self.take("(");
        let mut arguments = Vec::new();
        let first_at = self.at;
        if !self.take(")") {
            loop {
                arguments.push(self.deeper(Self::expression)?);
                if !self.take(",") {
                    break;
                }
            }
            self.need(")")?;
        }
        if arguments.len() < *least || arguments.len() > *most {
            let wanted = if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            let noun = if wanted == "1" {
                "argument"
            } else {
                "arguments"
            };
            let what = format!("{name}() takes {wanted} {noun}, not {}", arguments.len());
            return Err(self.error_at(at, &what));
        }
        let takes_nodes = matches!(
            function,
            Function::Count
                | Function::Sum
                | Function::LocalName
                | Function::Name
                | Function::NamespaceUri
        );
        if takes_nodes && arguments.first().is_some_and(|first| !selects(first)) {
            let what = format!("{name}() takes nodes, such as //a");
            return Err(self.error_at(first_at, &what));
        }
        Ok(Some((at, Expression::Call(*function, arguments))))
    }

    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn path(&mut self) -> Result<Expression, String> {
        let mut steps = Vec::new();
        let start = if self.rest().starts_with('/') {
            let alone = !self.rest().starts_with("//") && {
                let after = self.rest()[1..].trim_start();
                !after.starts_with(|c: char| is_name_start(c) || matches!(c, '*' | '@' | '.'))
            };
            if alone {
                self.take("/");
            } else {
                self.steps(&mut steps)?;
            }
            Start::Root
        } else {
            steps.push(self.step()?);
            self.steps(&mut steps)?;
            Start::Here
        };
        Ok(Expression::Path(Path {
            start,
            steps: fused(steps),
        }))
    }

    /// `/step` and `//step`, as often as they follow.
    fn steps(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        loop {
            if self.take("//") {
                steps.push(Step {
                    axis: Axis::DescendantOrSelf,
                    test: Test::Node,
                    predicates: Vec::new(),
                });
            } else if !self.take("/") {
                return Ok(());
            }
            steps.push(self.step()?);
        }
    }

    fn step(&mut self) -> Result<Step, String> {
        let (axis, test) = if self.take("..") {
            (Axis::Parent, Test::Node)
        } else if self.take(".") {
            (Axis::SelfNode, Test::Node)
        } else if self.take("@") {
            (Axis::Attribute, self.test(Axis::Attribute)?)
        } else {
            let axis = self.axis()?;
            (axis, self.test(axis)?)
        };
        let predicates = self.predicates()?;
        Ok(Step {
            axis,
            test,
            predicates,
        })
    }

    fn axis(&mut self) -> Result<Axis, String> {
        let at = self.at;
        let name = self.name();
        self.space();
        if name.is_empty() || !self.take("::") {
            self.at = at;
            return Ok(Axis::Child);
        }
        Ok(match name {
            "child" => Axis::Child,
            "descendant" => Axis::Descendant,
            "descendant-or-self" => Axis::DescendantOrSelf,
            "self" => Axis::SelfNode,
            "parent" => Axis::Parent,
            "ancestor" => Axis::Ancestor,
            "attribute" => Axis::Attribute,
            other => {
                let what = format!("the axis \"{other}\" is not supported");
                return Err(self.error_at(at, &what));
            }
        })
    }

    fn test(&mut self, axis: Axis) -> Result<Test, String> {
        if self.take("*") {
            return Ok(Test::Any);
        }
        let at = self.at;
        let name = self.name();
        if name.is_empty() {
            let what = format!(
                "expected a name, *, @name, text(), . or .., found {}",
                self.found()
            );
            return Err(self.error(&what));
        }
        let test = if self.rest().starts_with(':') && !self.rest().starts_with("::") {
            self.at += 1;
            if self.take("*") {
                Test::Namespace(self.namespace(at, name, "…")?)
            } else {
                let local = self.name();
                if local.is_empty() {
                    return Err(self.error("expected a name after the prefix"));
                }
                let namespace = Some(self.namespace(at, name, local)?);
                let local = local.to_owned();
                Test::Name { namespace, local }
            }
        } else if self.rest().trim_start().starts_with('(') {
            self.space();
            self.take("(");
            self.need(")")?;
            match name {
                "text" => Test::Text,
                "node" => Test::Node,
                _ => return Err(self.error_at(at, &unknown_function(name))),
            }
        } else {
            self.bare_names |= axis != Axis::Attribute;
            Test::Name {
                namespace: None,
                local: name.to_owned(),
            }
        };
        self.space();
        Ok(test)
    }

    fn namespace(&self, at: usize, prefix: &str, local: &str) -> Result<String, String> {
        let declared = self.namespaces.iter().find(|(p, _)| p == prefix);
        declared.map(|(_, uri)| uri.clone()).ok_or_else(|| {
            let what = format!(
                "the prefix \"{prefix}\" is not declared; declare it, or write *[local-name()='{local}']"
            );
            self.error_at(at, &what)
        })
    }

    fn predicates(&mut self) -> Result<Vec<Expression>, String> {
        let mut predicates = Vec::new();
        while self.take("[") {
            predicates.push(self.deeper(Self::expression)?);
            self.need("]")?;
        }
        Ok(predicates)
    }
}

fn unknown_function(name: &str) -> String {
    let near = FUNCTIONS
        .iter()
        .map(|(known, ..)| (strsim::damerau_levenshtein(known, name), *known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    if let Some((_, known)) = near {
        return format!("there is no function \"{name}\"; did you mean \"{known}\"?");
    }
    let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).collect();
    let names = names.join(", ");
    format!("there is no function \"{name}\"; there are {names}")
}

/// Whether an expression selects nodes, as opposed to a text, number or truth.
fn selects(expression: &Expression) -> bool {
    matches!(expression, Expression::Path(_) | Expression::Union(..))
}

/// `//name` walks the document once instead of asking each node for its children,
/// which is the same as long as no predicate counts positions.
fn fused(steps: Vec<Step>) -> Vec<Step> {
    let mut fused: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        let after_all = fused.last().is_some_and(|last| {
            last.axis == Axis::DescendantOrSelf
                && last.test == Test::Node
                && last.predicates.is_empty()
        });
        if after_all && step.axis == Axis::Child && !step.predicates.iter().any(counts) {
            fused.pop();
            fused.push(Step {
                axis: Axis::Descendant,
                ..step
            });
        } else {
            fused.push(step);
        }
    }
    fused
}

/// Whether a predicate may depend on the position of its node.
fn counts(predicate: &Expression) -> bool {
    fn mentions(expression: &Expression) -> bool {
        match expression {
            Expression::Call(Function::Position | Function::Last, _) => true,
            Expression::Call(_, arguments) => arguments.iter().any(mentions),
            Expression::Or(a, b)
            | Expression::And(a, b)
            | Expression::Compare(_, a, b)
            | Expression::Union(a, b) => mentions(a) || mentions(b),
            Expression::Negative(inner) => mentions(inner),
            // Predicates inside a path count their own nodes.
            Expression::Text(_) | Expression::Number(_) | Expression::Path(_) => false,
        }
    }
    let gives_number = matches!(
        predicate,
        Expression::Number(_)
            | Expression::Negative(_)
            | Expression::Call(
                Function::Count | Function::Number | Function::Sum | Function::StringLength,
                _
            )
    );
    gives_number || mentions(predicate)
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
