use super::*;
use crate::Shape;
use crate::spec::Lrn;

/// What buffers hold here, where it does not matter.
const VECTOR: Content = Content::Vector(4);

pub(super) fn buffer(content: Content, role: Role) -> BufferSpec {
    BufferSpec { content, role }
}

pub(super) fn instruction(command: Command) -> Instruction {
    Instruction { pass: Pass::Forward, layer: "norm".into(), command }
}

/// Reads `x` and overwrites `y`.
pub(super) fn scale(x: usize, y: usize) -> Command {
    let (x, y) = (In(BufferId(x)), Out(BufferId(y)));
    Command::Scale { content: VECTOR, alpha: 0.5, x, y }
}

/// Reads `x` and changes `y` in place.
pub(super) fn blend(x: usize, y: usize) -> Command {
    let (x, y) = (In(BufferId(x)), InOut(BufferId(y)));
    Command::Blend { content: VECTOR, alpha: 0.5, x, beta: 0.5, y }
}

/// Commands over vectors of these roles.
pub(super) fn program(roles: &[Role], commands: &[Command]) -> Result<Program> {
    let buffers = roles.iter().map(|role| buffer(VECTOR, *role)).collect();
    Program::new(buffers, commands.iter().cloned().map(instruction).collect())
}

#[test]
fn a_buffer_lives_from_its_first_command_to_its_last() {
    use Role::{Input, Output, State, Temporary};
    let roles = [Input, Temporary, State, Output];
    let commands = [scale(0, 1), blend(0, 2), blend(1, 2), scale(2, 3)];
    let lifetimes = program(&roles, &commands).unwrap().lifetimes();
    assert_eq!(lifetimes, [(0, 1), (0, 2), (1, 3), (3, 3)].map(Some));
}

#[test]
fn each_command_is_a_program_of_its_own() {
    use Role::{Input, Output, State, Temporary};
    let roles = [Input, Temporary, State, Output];
    let whole = program(&roles, &[scale(0, 1), blend(1, 2), scale(2, 3)]).unwrap();
    let alone = |roles: &[Role], command, places: [usize; 2]| {
        (program(roles, &[command]).unwrap(), places.map(BufferId).to_vec())
    };
    let expected = [
        alone(&[Input, Output], scale(0, 1), [0, 1]),
        alone(&[Input, State], blend(0, 1), [1, 2]),
        alone(&[Input, Output], scale(0, 1), [2, 3]),
    ];
    assert_eq!(whole.one_by_one().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_read_twice_is_one_buffer() {
    let maps = Shape::new(1, 2, 3, 4);
    let lrn = |dy| Command::LrnBackward {
        spec: Lrn::new(maps).unwrap(),
        x: In(BufferId(0)),
        dy: In(BufferId(dy)),
        dx: Out(BufferId(1)),
    };
    let buffers = [Role::Input, Role::Output].map(|role| buffer(Content::Maps(maps), role));
    let twice = Program::new(buffers.into(), vec![instruction(lrn(0))]).unwrap();
    assert_eq!(
        twice.one_by_one().collect::<Vec<_>>(),
        [(twice.clone(), vec![BufferId(0), BufferId(1)])]
    );
    assert!(check_sharing(&twice, &[0, 1]).is_ok());
}
