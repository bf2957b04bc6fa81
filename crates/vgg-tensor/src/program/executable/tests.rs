use super::super::tests::{blend, buffer, program, scale};
use super::*;
use crate::command::samples::{Any, samples};
use crate::program::{BufferSpec, Instruction, Pass};
use Role::{Discarded, Input, Output, State, Temporary};

#[track_caller]
fn check_refused(roles: &[Role], commands: &[Command], memories: &[usize], problem: &str) {
    let program = program(roles, commands).unwrap();
    let error = check_sharing(&program, memories).unwrap_err().to_string();
    assert_eq!(error, format!("a wrong program: {problem}"));
}

#[test]
fn what_is_needed_one_after_the_other_may_share() {
    let passes = |roles: &[Role], commands: &[Command], memories: &[usize]| {
        check_sharing(&program(roles, commands).unwrap(), memories).unwrap();
    };
    let chain = [scale(0, 1), scale(1, 2), scale(2, 3), scale(3, 4)];
    // An output, too, where what was there has been read for the last time.
    passes(&[Input, Temporary, Temporary, Temporary, Output], &chain, &[0, 1, 2, 1, 2]);
    // So is the memory of an input.
    passes(&[Input, Temporary, Temporary, Temporary, Output], &chain, &[0, 1, 0, 1, 0]);
    // What is discarded may be wherever nothing else is needed.
    let commands = [scale(0, 1), scale(0, 2), scale(0, 3), blend(3, 4)];
    passes(&[Input, Output, Discarded, Temporary, State], &commands, &[0, 1, 2, 2, 3]);
}

#[test]
fn what_is_given_has_memory_of_its_own() {
    let problem = "buffers 0 and 1 are given in the same memory";
    check_refused(&[Input, State], &[blend(0, 1)], &[0, 0], problem);
}

#[test]
fn operands_of_a_command_have_memory_of_their_own() {
    let problem = "command 0 (norm, scale 4): buffers 0 and 1 are in the same memory";
    check_refused(&[Input, Output], &[scale(0, 1)], &[0, 0], problem);
}

#[test]
fn what_is_still_needed_is_not_overwritten() {
    let roles = [Input, Temporary, Temporary, State];
    let commands = [scale(0, 1), scale(0, 2), blend(2, 3), blend(1, 3)];
    let problem = "command 3 (norm, blend 4): buffer 2 is where buffer 1 was";
    check_refused(&roles, &commands, &[0, 1, 1, 2], problem);
    // Not even by what nobody reads.
    let roles = [Input, Temporary, Discarded, State];
    let commands = [scale(0, 1), scale(0, 2), blend(1, 3)];
    let problem = "command 2 (norm, blend 4): buffer 2 is where buffer 1 was";
    check_refused(&roles, &commands, &[0, 1, 1, 2], problem);
}

#[test]
fn what_is_left_is_not_overwritten() {
    let problem = "in the end buffer 1 is overwritten";
    for kept in [Output, State] {
        let roles = [Input, kept, Temporary, State];
        check_refused(&roles, &[scale(0, 1), scale(0, 2), blend(2, 3)], &[0, 1, 1, 2], problem);
    }
}

/// A buffer is its name.
fn named(count: usize) -> Vec<Shared<String>> {
    (0..count).map(|i| Arc::new(RwLock::new(i.to_string()))).collect()
}

#[test]
fn buffers_that_are_the_same_memory_are_found() {
    let program = program(&[Input, Output], &[scale(0, 1)]).unwrap();
    assert!(Executable::new(&program, named(2)).is_ok());
    let one = named(1).remove(0);
    let error = Executable::new(&program, vec![one.clone(), one]).unwrap_err();
    assert!(error.to_string().contains("buffers 0 and 1 are in the same memory"), "{error}");
}

#[test]
fn commands_are_apart_that_touch_other_memory() {
    let commands = [scale(0, 1), scale(0, 2), blend(1, 3), scale(1, 4)];
    let program = program(&[Input, Temporary, Output, State, Output], &commands).unwrap();
    let buffers = named(5);
    let executable = Executable::new(&program, buffers).unwrap();
    let apart = |a| (0..4).map(|b| executable.are_apart(a, b)).collect::<Vec<_>>();
    assert_eq!(apart(0), [false, true, false, false]);
    // What is read may be read twice.
    assert_eq!(apart(2), [false, true, false, true]);
    let mut operands = Vec::new();
    executable
        .run_one(3, |command| {
            let Command::Scale { x, y, .. } = command else { panic!("it is the fourth command") };
            operands.extend([x.clone(), y.clone()]);
            Ok(())
        })
        .unwrap();
    assert_eq!(operands, ["1", "4"]);
}

#[test]
#[should_panic = "a program's buffers"]
fn there_is_a_buffer_for_each() {
    let program = program(&[Input, Output], &[scale(0, 1)]).unwrap();
    let _ = Executable::new(&program, named(1));
}

/// Makes a program of a command: its operands are buffers 0, 1, …
struct Numbered(Vec<BufferSpec>);

impl Numbered {
    fn next(&mut self, content: Content, role: Role) -> BufferId {
        self.0.push(buffer(content, role));
        BufferId(self.0.len() - 1)
    }
}

impl Operands<Any, Any, Any> for Numbered {
    type In = In;
    type Out = Out;
    type InOut = InOut;

    fn input(&mut self, _: Any, content: Content) -> In {
        In(self.next(content, Input))
    }

    fn output(&mut self, _: Any, content: Content) -> Out {
        Out(self.next(content, Output))
    }

    fn in_place(&mut self, _: Any, content: Content) -> InOut {
        InOut(self.next(content, State))
    }
}

/// Operands by their buffers' names.
struct Names;

impl Operands<In, Out, InOut> for Names {
    type In = String;
    type Out = String;
    type InOut = String;

    fn input(&mut self, In(BufferId(buffer)): In, _: Content) -> String {
        buffer.to_string()
    }

    fn output(&mut self, Out(BufferId(buffer)): Out, _: Content) -> String {
        buffer.to_string()
    }

    fn in_place(&mut self, InOut(BufferId(buffer)): InOut, _: Content) -> String {
        buffer.to_string()
    }
}

impl<'a> Operands<&'a String, &'a mut String, &'a mut String> for Names {
    type In = String;
    type Out = String;
    type InOut = String;

    fn input(&mut self, buffer: &'a String, _: Content) -> String {
        buffer.clone()
    }

    fn output(&mut self, buffer: &'a mut String, _: Content) -> String {
        buffer.clone()
    }

    fn in_place(&mut self, buffer: &'a mut String, _: Content) -> String {
        buffer.clone()
    }
}

#[test]
fn every_command_has_its_buffers_in_their_places() -> Result<()> {
    for (command, words) in samples()? {
        let mut numbered = Numbered(Vec::new());
        let command = command.map(&mut numbered);
        let instruction =
            Instruction { pass: Pass::Forward, layer: "norm".into(), command: command.clone() };
        let buffers = named(numbered.0.len());
        let executable = Executable::new(&Program::new(numbered.0, vec![instruction])?, buffers)?;
        let mut seen = Vec::new();
        executable.run(|bound| {
            seen.push(bound.map(&mut Names));
            Ok(())
        })?;
        assert_eq!(seen, [command.map(&mut Names)], "{words}");
    }
    Ok(())
}

#[test]
fn commands_run_in_order_until_one_fails() {
    let program = program(&[Input, State], &[blend(0, 1), blend(0, 1), blend(0, 1)]).unwrap();
    let buffers = named(2);
    let executable = Executable::new(&program, buffers.clone()).unwrap();
    let mut run = 0;
    let result = executable.run(|command| {
        let Command::Blend { x, y, .. } = command else { panic!("{command}") };
        y.push_str(x);
        run += 1;
        if run == 2 { Err(Error::Program("stop".into())) } else { Ok(()) }
    });
    assert_eq!(result.unwrap_err().to_string(), "a wrong program: stop");
    assert_eq!(*buffers[1].read().unwrap(), "100");
}

#[test]
#[should_panic = "a program's buffers are its own while it runs"]
fn buffers_in_use_are_not_waited_for() {
    let program = program(&[Input, Output], &[scale(0, 1)]).unwrap();
    let buffers = named(2);
    let executable = Executable::new(&program, buffers.clone()).unwrap();
    let _held = buffers[1].read();
    let _ = executable.run(|_| Ok(()));
}
