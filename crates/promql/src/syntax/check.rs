//! Type checking, with the error texts of upstream.

use model::METRIC_NAME;

use crate::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Span, ValueType, VectorSelector};
use crate::error::ParseError;
use crate::syntax::signature::Variadic;
use crate::text::quote::quote;

/// Checks a tree and completes it: matching goes where it means nothing, set operators become many-to-many.
pub(crate) fn check(query: &str, expr: &mut Expr) -> Result<(), ParseError> {
    Checker { query }.expr(expr).map(|_| ())
}

struct Checker<'a> {
    query: &'a str,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.query, span, message.into()))
    }

    fn expr(&self, expr: &mut Expr) -> Result<ValueType, ParseError> {
        match expr {
            Expr::Aggregate(e) => self.aggregate(e)?,
            Expr::Binary(e) => return self.binary(e),
            Expr::Call(e) => self.call(e)?,
            Expr::Matrix(e) => self.selector(&e.selector)?,
            Expr::Vector(e) => self.selector(e)?,
            Expr::Paren(e) => return self.expr(&mut e.expr),
            Expr::Unary(e) => {
                let found = self.expr(&mut e.expr)?;
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    return self.fail(
                        e.span,
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                            quote(found.documented())
                        ),
                    );
                }
                return Ok(found);
            }
            Expr::Subquery(e) => {
                let found = self.expr(&mut e.expr)?;
                if found != ValueType::Vector {
                    return self.fail(
                        e.span,
                        format!("subquery is only allowed on instant vector, got {} instead", found.as_str()),
                    );
                }
            }
            Expr::Number(_) | Expr::String(_) => {}
        }
        Ok(expr.value_type())
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, context: &str) -> Result<(), ParseError> {
        let found = self.expr(expr)?;
        if found == wanted {
            return Ok(());
        }
        self.fail(
            expr.span(),
            format!("expected type {} in {context}, got {}", wanted.documented(), found.documented()),
        )
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<(), ParseError> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        let wanted =
            if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        match &mut aggregate.param {
            Some(param) => self.expect(param, wanted, "aggregation parameter"),
            None => Ok(()),
        }
    }

    /// Where the operator stands, without the white space around it.
    fn operator_span(&self, binary: &Binary) -> Span {
        let bytes = self.query.as_bytes();
        let is_space = |at: &usize| bytes.get(*at).is_some_and(u8::is_ascii_whitespace);
        let (mut start, mut end) = (binary.lhs.span().end, binary.rhs.span().start);
        while is_space(&start) {
            start += 1;
        }
        while end > start && is_space(&(end - 1)) {
            end -= 1;
        }
        Span::new(start, end)
    }

    fn binary(&self, binary: &mut Binary) -> Result<ValueType, ParseError> {
        let left = self.expr(&mut binary.lhs)?;
        let right = self.expr(&mut binary.rhs)?;
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            return self
                .fail(self.operator_span(binary), "bool modifier can only be used on comparison operators");
        }
        if op.is_comparison() && !binary.return_bool && scalars {
            return self
                .fail(self.operator_span(binary), "comparisons between scalars must use BOOL modifier");
        }
        let mut matching = binary.matching.take().unwrap_or_default();
        if matching.on
            && let Some(label) = matching.labels.iter().find(|l| matching.include.contains(l))
        {
            return self.fail(
                self.operator_span(binary),
                format!("label {} must not occur in ON and GROUP clause at once", quote(label)),
            );
        }
        for (found, operand) in [(left, &binary.lhs), (right, &binary.rhs)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                return self.fail(
                    operand.span(),
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        let span = binary.span();
        if left != ValueType::Vector || right != ValueType::Vector {
            if !matching.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if filled {
                return self.fail(span, "filling in missing series only allowed between instant vectors");
            }
            if op.is_set() {
                return self.fail(
                    span,
                    format!("set operator {} not allowed in binary scalar expression", quote(op.as_str())),
                );
            }
        } else {
            if op.is_set() {
                if matching.card != Cardinality::OneToOne {
                    return self
                        .fail(span, format!("no grouping allowed for {} operation", quote(op.as_str())));
                }
                if filled {
                    return self.fail(span, "filling in missing series not allowed for set operators");
                }
                matching.card = Cardinality::ManyToMany;
            }
            binary.matching = Some(matching);
        }
        Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
    }

    fn call(&self, call: &mut Call) -> Result<(), ParseError> {
        self.argument_count(call)?;
        if call.func.name == "info" {
            self.info_selector(call)?;
        }
        let func = call.func;
        for (i, arg) in call.args.iter_mut().enumerate() {
            let Some(wanted) = func.args.get(i).or(func.args.last()) else {
                break;
            };
            let found = self.expr(arg)?;
            if found != *wanted {
                return self.fail(
                    arg.span(),
                    format!(
                        "expected type {} in call to function {}, got {}",
                        wanted.documented(),
                        quote(func.name),
                        found.documented()
                    ),
                );
            }
        }
        Ok(())
    }

    fn argument_count(&self, call: &Call) -> Result<(), ParseError> {
        let (declared, got) = (call.func.args.len(), call.args.len());
        let (least, most) = match call.func.variadic {
            Variadic::No => (declared, declared),
            Variadic::UpTo(n) => (declared - 1, declared - 1 + n),
            Variadic::Any => (declared - 1, usize::MAX),
        };
        if (least..=most).contains(&got) {
            return Ok(());
        }
        let (bound, n) = match call.func.variadic {
            Variadic::No => ("", declared),
            _ if got < least => ("at least ", least),
            _ => ("at most ", most),
        };
        self.fail(
            call.span,
            format!("expected {bound}{n} argument(s) in call to {}, got {got}", quote(call.func.name)),
        )
    }

    /// The second argument of `info` is a selector of labels only, which may match everything.
    fn info_selector(&self, call: &mut Call) -> Result<(), ParseError> {
        let span = call.span;
        let Some(arg) = call.args.get_mut(1) else {
            return Ok(());
        };
        let found = arg.value_type();
        if found != ValueType::Vector {
            return self.fail(
                span,
                format!(
                    "expected type instant vector in call to function \"info\", got {}",
                    found.documented()
                ),
            );
        }
        match arg {
            Expr::Vector(selector) if selector.name.is_none() => {
                selector.may_match_empty = true;
                Ok(())
            }
            Expr::Vector(selector) => {
                self.fail(selector.span, "expected label selectors only, got vector selector instead")
            }
            other => self.fail(other.span(), "expected label selectors only"),
        }
    }

    fn selector(&self, selector: &VectorSelector) -> Result<(), ParseError> {
        if let Some(name) = &selector.name {
            let others = selector.matchers.split_last().map_or(&[][..], |(_, others)| others);
            return match others.iter().find(|m| m.name() == METRIC_NAME) {
                Some(twice) => self.fail(
                    selector.span,
                    format!("metric name must not be set twice: {} or {}", quote(name), quote(twice.value())),
                ),
                None => Ok(()),
            };
        }
        if selector.may_match_empty || selector.matchers.iter().any(|m| !m.matches_empty()) {
            return Ok(());
        }
        self.fail(selector.span, "vector selector must contain at least one non-empty matcher")
    }
}
