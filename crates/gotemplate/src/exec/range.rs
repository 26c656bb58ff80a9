//! `range`: over slices, maps in the order of their keys, and whole numbers.

use super::{Executed, Flow, State};
use crate::format::sprint_lossy;
use crate::syntax::Branch;
use crate::value::Value;

impl<'a> State<'a> {
    pub(super) fn range(&mut self, dot: &Value, branch: &'a Branch) -> Executed<Flow> {
        let value = self.pipeline(dot, &branch.pipe)?;
        let mut ran = false;
        if let Some(list) = value.as_list() {
            for (index, item) in list.items.iter().enumerate() {
                ran = true;
                if self.iteration(branch, &Value::Int(index as i64), item)? == Flow::Break {
                    break;
                }
            }
        } else if let Some(map) = value.as_map() {
            for (key, item) in &map.entries {
                ran = true;
                if self.iteration(branch, &Value::Text(key.clone()), item)? == Flow::Break {
                    break;
                }
            }
        } else if let Some(count) = value.as_int() {
            if branch.pipe.variables.len() > 1 {
                let shown = sprint_lossy(&value);
                return self.fail(format_args!("can't use {shown} to iterate over more than one variable"));
            }
            for number in 0..count {
                ran = true;
                let number = Value::Int(number);
                if self.iteration(branch, &number, &number)? == Flow::Break {
                    break;
                }
            }
        } else if !matches!(value, Value::Nil) {
            return self.fail(format_args!("range can't iterate over {}", sprint_lossy(&value)));
        }
        if ran { Ok(Flow::Next) } else { self.otherwise(dot, branch) }
    }

    fn iteration(&mut self, branch: &'a Branch, index: &Value, item: &Value) -> Executed<Flow> {
        self.step()?;
        let pipe = &branch.pipe;
        let values = match pipe.variables.len() {
            0 => &[][..],
            1 => &[item][..],
            _ => &[index, item][..],
        };
        // The pipeline has declared the variables, last; or they are assigned to.
        let declared = self.variables.len().saturating_sub(values.len());
        for (offset, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
            if pipe.assigns {
                self.assign(name, value)?;
            } else if let Some(variable) = self.variables.get_mut(declared + offset) {
                variable.1 = (*value).clone();
            }
        }
        self.scoped(|state| state.walk_all(item, &branch.body))
    }
}
