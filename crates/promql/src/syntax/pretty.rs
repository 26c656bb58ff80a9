//! The formatter: one line where it fits, else a line per operand and argument, indented by depth.

use std::fmt::Write;

use crate::ast::Expr;
use crate::syntax::print::{AggregateHead, BinaryOperator, SubquerySuffix};

/// The longest line that is not broken, in bytes.
pub const MAX_LINE: usize = 100;

/// The query over as many lines as it takes to read it.
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    Printer { max_line: MAX_LINE }.expr(&mut out, expr, 0);
    out
}

struct Printer {
    max_line: usize,
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

impl Printer {
    fn expr(&self, out: &mut String, expr: &Expr, level: usize) {
        let line = expr.to_string();
        let breakable = matches!(
            expr,
            Expr::Aggregate(_)
                | Expr::Binary(_)
                | Expr::Call(_)
                | Expr::Paren(_)
                | Expr::Subquery(_)
                | Expr::Unary(_)
        );
        if line.len() <= self.max_line || !breakable {
            indent(out, level);
            out.push_str(&line);
            return;
        }
        match expr {
            Expr::Binary(e) => {
                self.expr(out, &e.lhs, level + 1);
                out.push('\n');
                indent(out, level);
                let _ = writeln!(out, "{}", BinaryOperator(e));
                self.expr(out, &e.rhs, level + 1);
            }
            Expr::Subquery(e) => {
                self.expr(out, &e.expr, level);
                let _ = write!(out, "{}", SubquerySuffix(e));
            }
            Expr::Unary(e) => {
                let mut operand = String::new();
                self.expr(&mut operand, &e.expr, level);
                indent(out, level);
                out.push(if e.negate { '-' } else { '+' });
                out.push_str(operand.trim());
            }
            Expr::Aggregate(e) => {
                let arguments: Vec<&Expr> = e.param.iter().chain([&e.expr]).collect();
                self.enclosed(out, &AggregateHead(e).to_string(), &arguments, level);
            }
            Expr::Call(e) => self.enclosed(out, e.func.name, &e.args.iter().collect::<Vec<_>>(), level),
            Expr::Paren(e) => self.enclosed(out, "", &[&e.expr], level),
            Expr::Matrix(_) | Expr::Number(_) | Expr::String(_) | Expr::Vector(_) => {}
        }
    }

    /// A head, and what it encloses in parentheses, each on lines of its own.
    fn enclosed(&self, out: &mut String, head: &str, inner: &[&Expr], level: usize) {
        indent(out, level);
        out.push_str(head);
        out.push_str("(\n");
        for (i, expr) in inner.iter().enumerate() {
            self.expr(out, expr, level + 1);
            out.push_str(if i + 1 < inner.len() { ",\n" } else { "\n" });
        }
        indent(out, level);
        out.push(')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ParseOptions, parse};

    #[test]
    fn long_lines_are_broken() {
        let query = "topk(10, sum by (job) (foo_1{a=\"b\"}) + foo_2)";
        let expr = parse(query, &ParseOptions::default()).unwrap();
        let mut out = String::new();
        Printer { max_line: 10 }.expr(&mut out, &expr, 0);
        let expected = "topk(\n  10,\n    sum by (job) (\n      foo_1{a=\"b\"}\n    )\n  +\n    foo_2\n)";
        assert_eq!(out, expected);
        assert_eq!(pretty(&expr), query);
    }
}
