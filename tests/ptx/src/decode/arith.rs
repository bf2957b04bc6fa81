//! Arithmetic, logic and shifts: functions of up to four operands.

use super::Result;
use super::parts::{Arguments, Modifiers};
use crate::instruction::{Function, Mode, Op, Operand, Permute, Rounding};
use crate::types::Type;

pub(super) fn compute(m: &mut Modifiers<'_>, a: &mut Arguments<'_>) -> Result<Op> {
    let f = function(m)?;
    let approximate = m.take("approx") || m.take("full");
    if approximate && !may_approximate(f) {
        return m.unknown();
    }
    let ty = m.ty()?;
    let mode = m.mode();
    check(f, ty, mode)?;
    let d = a.reg()?;
    let mut args = [Operand::Imm(0); 4];
    let count = a.len();
    if count != operands(f) {
        return Err(format!(
            "`{}` takes {} operands behind the result, found {count}",
            m.name,
            operands(f)
        ));
    }
    for arg in &mut args[..count] {
        *arg = a.value()?;
    }
    Ok(Op::Compute { f, ty, mode, d, args })
}

fn function(m: &mut Modifiers<'_>) -> Result<Function> {
    use Function as F;
    let float = m.is_float();
    let name = m.name;
    Ok(match name {
        "add" => F::Add,
        "sub" => F::Sub,
        "mul" if m.take("hi") => F::MulHi,
        "mul" if m.take("wide") => F::MulWide,
        "mul" if m.take("lo") || float => F::MulLo,
        "mad" if m.take("hi") => F::MadHi,
        "mad" if m.take("wide") => F::MadWide,
        "mad" if float => F::Fma,
        "mad" if m.take("lo") => F::MadLo,
        "mul24" if m.take("lo") => F::Mul24,
        "mad24" if m.take("lo") => F::Mad24,
        "fma" => F::Fma,
        "div" => F::Div,
        "rem" => F::Rem,
        "neg" => F::Neg,
        "abs" => F::Abs,
        "min" => F::Min,
        "max" => F::Max,
        "sad" => F::Sad,
        "and" => F::And,
        "or" => F::Or,
        "xor" => F::Xor,
        "not" => F::Not,
        "cnot" => F::Cnot,
        "shl" => F::Shl,
        "shr" => F::Shr,
        "bfe" => F::Bfe,
        "bfi" => F::Bfi,
        "shf" => {
            let left = m.take("l");
            if !left && !m.take("r") {
                return m.unknown();
            }
            let clamp = m.take("clamp");
            if !clamp && !m.take("wrap") {
                return m.unknown();
            }
            if left { F::ShfLeft(clamp) } else { F::ShfRight(clamp) }
        }
        "prmt" => F::Prmt(m.find(permute).unwrap_or(Permute::Index)),
        "lop3" => F::Lop3,
        "popc" => F::Popc,
        "clz" => F::Clz,
        "brev" => F::Brev,
        "bfind" => F::Bfind(m.take("shiftamt")),
        "copysign" => F::Copysign,
        "testp" if m.take("finite") => F::TestFinite,
        "testp" if m.take("infinite") => F::TestInfinite,
        "testp" if m.take("number") => F::TestNumber,
        "testp" if m.take("notanumber") => F::TestNan,
        "testp" if m.take("normal") => F::TestNormal,
        "testp" if m.take("subnormal") => F::TestSubnormal,
        "rcp" => F::Rcp,
        "sqrt" => F::Sqrt,
        "rsqrt" => F::Rsqrt,
        "ex2" => F::Ex2,
        "lg2" => F::Lg2,
        "sin" => F::Sin,
        "cos" => F::Cos,
        "tanh" => F::Tanh,
        _ => return m.unknown(),
    })
}

fn permute(modifier: &str) -> Option<Permute> {
    Some(match modifier {
        "f4e" => Permute::F4e,
        "b4e" => Permute::B4e,
        "rc8" => Permute::Rc8,
        "ecl" => Permute::Ecl,
        "ecr" => Permute::Ecr,
        "rc16" => Permute::Rc16,
        _ => return None,
    })
}

fn operands(f: Function) -> usize {
    use Function as F;
    match f {
        F::Neg | F::Abs | F::Not | F::Cnot | F::Popc | F::Clz | F::Brev | F::Bfind(_) => 1,
        F::TestFinite
        | F::TestInfinite
        | F::TestNumber
        | F::TestNan
        | F::TestNormal
        | F::TestSubnormal => 1,
        F::Rcp | F::Sqrt | F::Rsqrt | F::Ex2 | F::Lg2 | F::Sin | F::Cos | F::Tanh => 1,
        F::MadLo | F::MadHi | F::MadWide | F::Mad24 | F::Fma | F::Sad => 3,
        F::Bfe | F::ShfLeft(_) | F::ShfRight(_) | F::Prmt(_) => 3,
        F::Bfi | F::Lop3 => 4,
        _ => 2,
    }
}

fn may_approximate(f: Function) -> bool {
    use Function as F;
    matches!(f, F::Div | F::Rcp | F::Sqrt | F::Rsqrt | F::Ex2 | F::Lg2 | F::Sin | F::Cos | F::Tanh)
}

/// Whether the function exists for the type.
fn check(f: Function, ty: Type, mode: Mode) -> Result<()> {
    use Function as F;
    let (float, half) = (ty.is_float(), ty.is_half());
    let integer = !float && ty != Type::Pred && ty.bytes() > 1;
    let word = !float && matches!(ty.bytes(), 4 | 8);
    let fits = match f {
        F::Add | F::Sub | F::MulLo | F::Min | F::Max | F::Neg | F::Abs => float || integer,
        F::Div => integer || (float && !half),
        F::MulHi | F::MadLo | F::MadHi | F::Rem | F::Sad => integer,
        F::MulWide | F::MadWide => integer && ty.bytes() <= 4,
        F::Fma => float,
        F::And | F::Or | F::Xor | F::Not => integer || ty == Type::Pred,
        F::Cnot | F::Shl | F::Shr => integer,
        F::Bfe | F::Bfi | F::Popc | F::Clz | F::Brev | F::Bfind(_) => word,
        F::Mul24 | F::Mad24 | F::ShfLeft(_) | F::ShfRight(_) | F::Prmt(_) | F::Lop3 => {
            !float && ty.bytes() == 4
        }
        F::Ex2 | F::Tanh => float && ty != Type::F64,
        F::Rcp | F::Sqrt | F::Rsqrt => float && !half,
        F::Lg2 | F::Sin | F::Cos => ty == Type::F32,
        F::Copysign => float && !half,
        F::TestFinite
        | F::TestInfinite
        | F::TestNumber
        | F::TestNan
        | F::TestNormal
        | F::TestSubnormal => float && !half,
    };
    if !fits {
        return Err(format!("{f:?} does not exist for {ty:?}"));
    }
    if ty == Type::F64 && mode.rounding != Rounding::Nearest {
        return Err(format!("{f:?} of f64 is supported with .rn only"));
    }
    if mode.sat && !(float || ty == Type::S32) {
        return Err(format!("{f:?} of {ty:?} does not saturate"));
    }
    Ok(())
}
