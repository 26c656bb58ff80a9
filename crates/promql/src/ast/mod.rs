//! The syntax tree. Every node knows where in the query it came from. Trees are made by [`crate::parse`]; what comes
//! out of it is well typed, and its depth is bounded, so that walking it recursively is safe.

mod operators;

use model::Matcher;

use crate::syntax::signature::Function;

pub use operators::{AggregateOp, BinaryOp, Cardinality};

/// A part of the query text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

impl Span {
    /// From `start` to before `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of this one to the end of the other.
    pub fn to(self, last: Self) -> Self {
        Self::new(self.start, last.end)
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// A sample per series.
    Vector,
    /// Samples of a range of time per series.
    Matrix,
}

impl ValueType {
    /// The name that the API and error messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }

    /// The name that the documentation uses.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `sum by (a) (…)`
    Aggregate(Box<Aggregate>),
    /// `a + b`
    Binary(Box<Binary>),
    /// `rate(…)`
    Call(Box<Call>),
    /// `a[5m]`
    Matrix(Box<MatrixSelector>),
    /// `1`, `5m`
    Number(Number),
    /// `(…)`
    Paren(Box<Paren>),
    /// `"text"`
    String(StringLiteral),
    /// `a[5m:1m]`
    Subquery(Box<Subquery>),
    /// `-a`
    Unary(Box<Unary>),
    /// `a{b="c"}`
    Vector(Box<VectorSelector>),
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter of those that have one.
    pub param: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether `grouping` is of `without`.
    pub without: bool,
    /// Where it stands.
    pub span: Span,
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Which one.
    pub op: BinaryOp,
    /// The left operand.
    pub lhs: Expr,
    /// The right operand.
    pub rhs: Expr,
    /// Whether a comparison returns 0 or 1 rather than filtering.
    pub return_bool: bool,
    /// How series are matched; only between two instant vectors.
    pub matching: Option<VectorMatching>,
}

/// How the series of two instant vectors are matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorMatching {
    /// How many go with how many.
    pub card: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` is of `on`.
    pub on: bool,
    /// The labels of `group_left` or `group_right`: taken from the "one" side.
    pub include: Vec<String>,
    /// The value for a missing series on the left.
    pub fill_left: Option<f64>,
    /// The value for a missing series on the right.
    pub fill_right: Option<f64>,
}

impl VectorMatching {
    /// Whether a label takes part in matching.
    pub(crate) fn matches_on(&self, name: &str) -> bool {
        let named = self.labels.iter().any(|l| l == name);
        if self.on { named } else { !named && name != model::METRIC_NAME }
    }
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub func: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// A number, or a duration in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// The value; of a duration, its seconds.
    pub value: f64,
    /// Whether it was written as a duration.
    pub is_duration: bool,
    /// Where it stands.
    pub span: Span,
}

/// A text. It need not be UTF-8, since escapes make any byte.
#[derive(Debug, Clone, PartialEq)]
pub struct StringLiteral {
    /// The bytes, with escapes resolved.
    pub bytes: Vec<u8>,
    /// Where it stands.
    pub span: Span,
}

impl StringLiteral {
    /// The text, with what is not UTF-8 replaced.
    pub fn to_str_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// An expression in parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Expr,
    /// Where it stands, parentheses included.
    pub span: Span,
}

/// `+` or `-` before an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// Whether it is `-`.
    pub negate: bool,
    /// The operand.
    pub expr: Expr,
    /// Where it stands.
    pub span: Span,
}

/// What an `@` modifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// A fixed time, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// A length of time: known, or to be computed from the query's step and range.
#[derive(Debug, Clone, PartialEq)]
pub enum Duration {
    /// Milliseconds.
    Fixed(i64),
    /// An expression.
    Expr(Box<DurationExpr>),
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self::Fixed(0);

    /// Whether it is known to be zero.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// An expression for a length of time.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds, or a duration.
    Literal(Number),
    /// `step()`
    Step(Span),
    /// `range()`
    Range(Span),
    /// `-d`
    Negate(Box<DurationExpr>, Span),
    /// `(d)`
    Paren(Box<DurationExpr>, Span),
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>, Span),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>, Span),
    /// Arithmetic.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
}

/// How samples at the edges of a range are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RangeMode {
    /// Only what lies inside counts.
    #[default]
    Plain,
    /// `anchored`: the last sample before each edge stands for the edge.
    Anchored,
    /// `smoothed`: the value at each edge is interpolated.
    Smoothed,
}

/// A selector of series.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name, when it was written before the braces.
    pub name: Option<String>,
    /// All matchers; one for `name` comes last.
    pub matchers: Vec<Matcher>,
    /// `offset`
    pub offset: Duration,
    /// `@`
    pub at: Option<At>,
    /// `anchored`, `smoothed`
    pub mode: RangeMode,
    /// Whether it may match the empty text only, as the second argument of `info` may.
    pub may_match_empty: bool,
    /// Where it stands.
    pub span: Span,
}

/// A selector of ranges of series.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The series, with `offset`, `@` and mode.
    pub selector: VectorSelector,
    /// How long the range is.
    pub range: Duration,
    /// Where it stands.
    pub span: Span,
}

/// A range of evaluations of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// How long the range is.
    pub range: Duration,
    /// The distance of evaluations; without it, the engine's default.
    pub step: Option<Duration>,
    /// `offset`
    pub offset: Duration,
    /// `@`
    pub at: Option<At>,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Aggregate(e) => e.span,
            Self::Binary(e) => e.span(),
            Self::Call(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Number(e) => e.span,
            Self::Paren(e) => e.span,
            Self::String(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Vector(e) => e.span,
        }
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Aggregate(_) | Self::Vector(_) => ValueType::Vector,
            Self::Binary(e) => e.value_type(),
            Self::Call(e) => e.func.returns,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Number(_) => ValueType::Scalar,
            Self::Paren(e) => e.expr.value_type(),
            Self::String(_) => ValueType::String,
            Self::Unary(e) => e.expr.value_type(),
        }
    }

    /// The expression without parentheses around it.
    pub fn without_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    /// The expressions directly inside; an aggregation's parameter comes after its expression.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Aggregate(e) => std::iter::once(&e.expr).chain(&e.param).collect(),
            Self::Binary(e) => vec![&e.lhs, &e.rhs],
            Self::Call(e) => e.args.iter().collect(),
            Self::Paren(e) => vec![&e.expr],
            Self::Subquery(e) => vec![&e.expr],
            Self::Unary(e) => vec![&e.expr],
            Self::Matrix(_) | Self::Number(_) | Self::String(_) | Self::Vector(_) => Vec::new(),
        }
    }

    /// Calls `visit` with this expression and all inside it, outer ones first. Selectors inside range selectors are
    /// not expressions of their own.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// The selectors inside, those of range selectors included, from left to right.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.walk(&mut |expr| match expr {
            Self::Vector(selector) => found.push(&**selector),
            Self::Matrix(matrix) => found.push(&matrix.selector),
            _ => {}
        });
        found
    }
}

impl Binary {
    /// Where it stands.
    pub fn span(&self) -> Span {
        // The left spine may be long: it is walked, not recursed into.
        let mut first = &self.lhs;
        while let Expr::Binary(inner) = first {
            first = &inner.lhs;
        }
        let mut last = &self.rhs;
        while let Expr::Binary(inner) = last {
            last = &inner.rhs;
        }
        first.span().to(last.span())
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        // A comparison or sum of scalars is a scalar, everything else a vector.
        if self.matching.is_none()
            && self.lhs.value_type() == ValueType::Scalar
            && self.rhs.value_type() == ValueType::Scalar
        {
            ValueType::Scalar
        } else {
            ValueType::Vector
        }
    }
}

impl DurationExpr {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Literal(number) => number.span,
            Self::Step(span)
            | Self::Range(span)
            | Self::Negate(_, span)
            | Self::Paren(_, span)
            | Self::MinOf(_, _, span)
            | Self::MaxOf(_, _, span) => *span,
            Self::Binary(_, lhs, rhs) => lhs.span().to(rhs.span()),
        }
    }
}
