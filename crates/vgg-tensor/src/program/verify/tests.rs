use super::super::tests::{blend, buffer, instruction, program, scale};
use super::*;
use crate::ranks::Shards;
use crate::spec::{
    Linear, LinearEpilogue, Lrn, MaxPool2d, Metrics, Sgd, SoftmaxCrossEntropy, WeightType,
};
use crate::{BufferId, BufferSpec, In, InOut, Out, Shape, ShardSum};
use Role::{Discarded, Input, Output, State, Temporary};

#[track_caller]
fn check_refused(roles: &[Role], commands: &[Command], problem: &str) {
    let error = program(roles, commands).unwrap_err().to_string();
    assert_eq!(error, format!("a wrong program: {problem}"));
}

fn alone(buffers: &[BufferSpec], command: Command) -> Result<Program> {
    Program::new(buffers.to_vec(), vec![instruction(command)])
}

#[test]
fn what_makes_sense_passes() {
    let passes = |roles: &[Role], commands: &[Command]| {
        program(roles, commands).unwrap();
    };
    passes(&[], &[]);
    passes(&[Input, Temporary, Output], &[scale(0, 1), scale(1, 2)]);
    // What is temporary is free again once it has been read; what is kept may be changed for good.
    passes(&[Input, Temporary, State], &[scale(0, 1), blend(1, 2), scale(0, 1), blend(1, 2)]);
    passes(&[Input, State], &[scale(0, 1)]);
    passes(&[Input, Discarded], &[scale(0, 1), scale(0, 1)]);
}

#[test]
fn what_is_written_is_apart_from_what_is_read() {
    let problem = "command 0 (norm, scale 4): buffer 0 is written, and another operand, too";
    check_refused(&[State], &[scale(0, 0)], problem);
    let problem = "command 0 (norm, blend 4): buffer 0 is written, and another operand, too";
    check_refused(&[State], &[blend(0, 0)], problem);
}

#[test]
fn what_is_written_is_apart_from_what_else_is_written() {
    let vector = Content::Vector(4);
    let clip = |buffers: &[usize]| {
        let gradients = buffers.iter().map(|i| (vector, InOut(BufferId(*i)))).collect();
        Command::ClipGradients { max_norm: 1.0, gradients }
    };
    let problem =
        "command 0 (norm, clip gradients 8): buffer 0 is written, and another operand, too";
    check_refused(&[State], &[clip(&[0, 0])], problem);
    let problem =
        "command 0 (norm, clip gradients 12): buffer 0 is written, and another operand, too";
    check_refused(&[State, State], &[clip(&[0, 1, 0])], problem);
}

/// A rank that has shards 2, 3 and 4 of 5, which are half of the tree.
#[test]
fn ranks_exchange_what_shards_have() {
    let shards = || Shards::new(5, 1, 2).unwrap();
    let vector = Content::Vector(4);
    let gather = |present, own: &[usize], others: &[usize]| Command::GatherShards {
        shards: shards(),
        present,
        own: own.iter().map(|i| (vector, In(BufferId(*i)))).collect(),
        others: others.iter().map(|i| (vector, Out(BufferId(*i)))).collect(),
    };
    let sum = |present, first: usize, others: &[usize]| Command::SumShards {
        shards: shards(),
        present,
        sums: vec![ShardSum {
            content: vector,
            first: InOut(BufferId(first)),
            others: others.iter().map(|i| In(BufferId(*i))).collect(),
        }],
    };
    let roles = [Input, Input, Input, Output, Output];
    let more = [Input, Input, Output, Output, Output];
    program(&roles, &[gather(5, &[0, 1, 2], &[3, 4])]).unwrap();
    program(&[Input, Output, Output], &[gather(3, &[0], &[1, 2])]).unwrap();
    program(&[State], &[sum(5, 0, &[])]).unwrap();
    let problem = "command 0 (norm, gather 20 of 2 ranks): each shard has as many vectors, as long \
                   as another's";
    check_refused(&more, &[gather(5, &[0, 1], &[2, 3, 4])], problem);
    let problem =
        "command 0 (norm, gather 20 of 2 ranks): buffer 0 is read, but not written before";
    check_refused(&[Temporary; 5], &[gather(5, &[0, 1, 2], &[3, 4])], problem);
    let problem = "command 0 (norm, sum 4 over 2 ranks): a rank has a sum for each of its subtrees";
    check_refused(&[State, Input], &[sum(5, 0, &[1])], problem);
    let problem = "command 0 (norm, sum 4 over 2 ranks): more shards are present than there are";
    check_refused(&[State], &[sum(6, 0, &[])], problem);
}

#[test]
fn rows_are_those_of_a_batch() {
    let spec = Linear::new(Shape::flat(2, 3), 4, LinearEpilogue::Bias).unwrap();
    let whole = |n, c| Content::Maps(Shape::flat(n, c));
    let buffers = [
        buffer(Content::Maps(spec.x()), Input),
        buffer(Content::Maps(spec.y()), Input),
        buffer(Content::Bytes(0), Input),
        buffer(whole(5, 3), State),
        buffer(whole(5, 4), State),
    ];
    let [x, dy, aux] = [0, 1, 2].map(|i| In(BufferId(i)));
    let [xs, dsums] = [3, 4].map(|i| InOut(BufferId(i)));
    let factors = |first| {
        let rows = 5;
        Command::LinearFactors { spec, first, rows, alpha: 1.0, x, dy, aux, xs, dsums }
    };
    alone(&buffers, factors(3)).unwrap();
    let error = alone(&buffers, factors(4)).unwrap_err().to_string();
    assert!(error.ends_with("rows of a part are rows of the whole"), "{error}");

    let gather = |batch, shapes: [Shape; 2]| {
        let shards = Shards::new(3, 1, 2).unwrap();
        let buffers = shapes.map(|shape| buffer(Content::Maps(shape), State));
        let maps = shapes.into_iter().enumerate().map(|(i, shape)| (shape, InOut(BufferId(i))));
        alone(&buffers, Command::GatherRows { shards, batch, maps: maps.collect() })
    };
    gather(6, [Shape::flat(5, 3), Shape::flat(5, 4)]).unwrap();
    for (batch, rows) in [(6, 4), (4, 5)] {
        let error = gather(batch, [Shape::flat(5, 3), Shape::flat(rows, 4)]).unwrap_err();
        let error = error.to_string();
        assert!(error.ends_with("maps have a row for each image of a batch"), "{error}");
    }
}

#[test]
fn buffers_exist() {
    check_refused(&[Input], &[scale(0, 1)], "command 0 (norm, scale 4): there is no buffer 1");
}

#[test]
fn buffers_hold_what_commands_say() {
    let sizes = [Content::Vector(4), Content::Vector(5)];
    let buffers = [buffer(sizes[0], Input), buffer(sizes[1], Output)];
    let error = alone(&buffers, scale(0, 1)).unwrap_err().to_string();
    assert_eq!(
        error,
        "a wrong program: command 0 (norm, scale 4): buffer 1 holds Vector(5), not Vector(4)"
    );
}

#[test]
fn maps_of_one_length_are_the_same() {
    let lrn = |from: Shape, to: Shape| {
        let maps = Shape::new(2, 3, 4, 5);
        let (spec, x, y) = (Lrn::new(maps).unwrap(), In(BufferId(0)), Out(BufferId(1)));
        let buffers = [buffer(Content::Maps(from), Input), buffer(Content::Maps(to), Output)];
        alone(&buffers, Command::Lrn { spec, x, y })
    };
    let flat = Shape::flat(2, 60);
    assert!(lrn(flat, flat).is_ok());
    for other in [Shape::flat(1, 60), Shape::flat(3, 60)] {
        assert!(lrn(other, flat).is_err());
        assert!(lrn(flat, other).is_err());
    }
}

#[test]
fn bytes_that_are_given_may_be_a_part() {
    let spec = SoftmaxCrossEntropy::new(2, 3).unwrap();
    let softmax = |bytes| {
        let buffers = [
            buffer(Content::Maps(spec.logits()), Input),
            buffer(Content::Bytes(bytes), Input),
            buffer(Content::Vector(Metrics::LEN), Output),
            buffer(Content::Maps(spec.logits()), Output),
        ];
        let (logits, labels) = (In(BufferId(0)), In(BufferId(1)));
        let (metrics, dlogits) = (Out(BufferId(2)), Out(BufferId(3)));
        let command = Command::SoftmaxCrossEntropy { spec, logits, labels, metrics, dlogits };
        alone(&buffers, command)
    };
    assert!(softmax(9).is_ok());
    assert!(softmax(8).is_ok());
    assert!(softmax(7).is_err());
    // What a forward pass left is taken as a whole.
    let spec = MaxPool2d::new(Shape::new(1, 1, 4, 4), 2, 2).unwrap();
    let backward = |bytes, role| {
        let buffers = [
            buffer(Content::Maps(spec.y()), Input),
            buffer(Content::Bytes(bytes), role),
            buffer(Content::Maps(spec.x()), Output),
        ];
        let (dy, aux, dx) = (In(BufferId(0)), In(BufferId(1)), Out(BufferId(2)));
        alone(&buffers, Command::MaxPool2dBackward { spec, dy, aux, dx })
    };
    assert!(backward(spec.aux_bytes(), State).is_ok());
    assert!(backward(spec.aux_bytes() + 1, State).is_err());
}

#[test]
fn nothing_is_read_before_it_is_written() {
    let problem = "command 0 (norm, scale 4): buffer 0 is read, but not written before";
    check_refused(&[Temporary, Output], &[scale(0, 1)], problem);
    check_refused(&[Output, Discarded], &[scale(0, 1)], problem);
    let problem = "command 0 (norm, blend 4): buffer 1 is read, but not written before";
    check_refused(&[Input, Output], &[blend(0, 1)], problem);
}

#[test]
fn inputs_are_not_written() {
    let problem = "command 0 (norm, scale 4): buffer 1 is an input, and written";
    check_refused(&[Input, Input], &[scale(0, 1)], problem);
    let problem = "command 0 (norm, blend 4): buffer 1 is an input, and written";
    check_refused(&[Input, Input], &[blend(0, 1)], problem);
}

#[test]
fn what_is_discarded_is_not_read() {
    let commands = [scale(0, 1), scale(1, 2)];
    let problem = "command 1 (norm, scale 4): buffer 1 is discarded, and read";
    check_refused(&[Input, Discarded, Output], &commands, problem);
}

#[test]
fn nothing_is_overwritten_unread() {
    let commands = [scale(0, 1), scale(0, 1)];
    let problem = "command 1 (norm, scale 4): buffer 1 is overwritten, and nobody has read what \
                   command 0 wrote";
    for role in [Temporary, Output, State] {
        check_refused(&[Input, role], &commands, problem);
    }
}

#[test]
fn what_is_computed_is_read() {
    let commands = [scale(0, 1), scale(1, 2), scale(0, 1)];
    let problem = "command 2 (norm, scale 4): buffer 1 is computed, and nobody reads it";
    check_refused(&[Input, Temporary, Output], &commands, problem);
}

#[test]
fn buffers_are_used() {
    let problem = "buffer 2, BufferSpec { content: Vector(4), role: State }: no command touches it";
    check_refused(&[Input, Output, State], &[scale(0, 1)], problem);
}

fn linear(weight_type: WeightType) -> Linear {
    let spec = Linear::new(Shape::flat(2, 3), 4, LinearEpilogue::BiasRelu).unwrap();
    spec.with_weight_type(weight_type)
}

/// A layer's gradients. Its weight is buffer 4; buffer 5 is what else `weight` names.
fn backward(spec: Linear, weight: WeightGradient) -> Result<Program> {
    let (x, dy, aux) = (In(BufferId(0)), In(BufferId(1)), In(BufferId(2)));
    let dbias = Out(BufferId(3));
    let mut buffers = vec![
        buffer(Content::Maps(spec.x()), Input),
        buffer(Content::Maps(spec.y()), Input),
        buffer(Content::Bytes(spec.aux_bytes()), Input),
        buffer(Content::Vector(spec.out_features()), Output),
        buffer(spec.weight(), State),
    ];
    let keeps_nothing = |optimizer| matches!(optimizer, Optimizer::Sgd { velocity: None, .. });
    if !matches!(weight, WeightGradient::Applied { optimizer, .. } if keeps_nothing(optimizer)) {
        buffers.push(buffer(spec.weight(), State));
    }
    alone(&buffers, Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx: None })
}

#[test]
fn a_velocity_goes_with_momentum() {
    let problem = "there is a velocity exactly where there is momentum";
    for (momentum, velocity) in [(0.0, None), (0.5, Some(())), (0.5, None), (0.0, Some(()))] {
        let spec = Sgd { momentum, ..Sgd::default() };
        let optimizer =
            |place| Optimizer::Sgd { spec, velocity: velocity.map(|()| InOut(BufferId(place))) };
        let weight = InOut(BufferId(4));
        let applied = WeightGradient::Applied { optimizer: optimizer(5), weight };
        let applied = backward(linear(WeightType::F32), applied);

        let (content, optimizer) = (Content::Vector(4), optimizer(2));
        let (weight, dweight) = (InOut(BufferId(0)), In(BufferId(1)));
        let roles = if velocity.is_some() { &[State, Input, State][..] } else { &[State, Input] };
        let sgd = program(roles, &[Command::Step { optimizer, content, weight, dweight }]);

        let expected =
            |command: &str| format!("a wrong program: command 0 (norm, {command}): {problem}");
        if velocity.is_some() == (momentum != 0.0) {
            assert!(applied.is_ok() && sgd.is_ok());
        } else {
            let words = "linear backward 3→4 + relu + sgd, without dx";
            assert_eq!(applied.unwrap_err().to_string(), expected(words));
            assert_eq!(sgd.unwrap_err().to_string(), expected("sgd 4"));
        }
    }
}

#[test]
fn a_weight_for_inference_is_not_trained() {
    let f16 = "a weight in f16 is for inference alone: gradients take it in f32";
    let factors = "a weight as factors is for inference: gradients of it take it in f32";
    for (weight_type, message, passes) in [
        (WeightType::F32, "", true),
        (WeightType::F16, f16, false),
        (WeightType::Factors, factors, true),
    ] {
        let check = |program: Result<Program>| match program {
            Ok(_) => assert_eq!(message, ""),
            Err(error) => {
                assert!(matches!(error, Error::Shape(_)), "{error}");
                assert_eq!(error.to_string(), message);
            }
        };
        let spec = linear(weight_type);
        let content = spec.weight();
        let (x, y, inout) = (In(BufferId(0)), Out(BufferId(1)), InOut(BufferId(1)));
        let dweight = Out(BufferId(5));
        check(backward(spec, WeightGradient::Stored { weight: In(BufferId(4)), dweight }));
        let [dy, dx] = [spec.y(), spec.x()].map(Content::Maps);
        let aux = Content::Bytes(spec.aux_bytes());
        let buffers = [buffer(content, Input), buffer(dy, Input), buffer(aux, Input)];
        let buffers = [&buffers[..], &[buffer(dx, Output)]].concat();
        let [weight, dy, aux] = [0, 1, 2].map(|place| In(BufferId(place)));
        let dx = Out(BufferId(3));
        let through = alone(&buffers, Command::LinearInputBackward { spec, weight, dy, aux, dx });
        assert_eq!(through.is_ok(), passes);
        let buffers = [buffer(content, Input), buffer(content, State)];
        let plain = Optimizer::Sgd { spec: Sgd::default(), velocity: None };
        let of_two = [
            Command::Scale { content, alpha: 1.0, x, y },
            Command::Blend { content, alpha: 1.0, x, beta: 1.0, y: inout },
            Command::Step { optimizer: plain, content, weight: inout, dweight: x },
        ];
        of_two.into_iter().for_each(|command| check(alone(&buffers, command)));
        let gradients = vec![(content, InOut(BufferId(0)))];
        check(alone(&buffers[1..], Command::ClipGradients { max_norm: 1.0, gradients }));
    }
}
