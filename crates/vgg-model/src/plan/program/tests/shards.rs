//! Programs of batches that are cut into shards.

use super::*;

/// The last of three ranks, which has the last two of four shards, and so a half of the tree.
#[test]
fn shards_are_exchanged() {
    let shards = vgg_tensor::ranks::Shards::new(4, 2, 3).unwrap();
    let recipe = Recipe { shards, freeze: vec!["a".into(), "b".into()], ..sgd().into() };
    let plan = plan(&normed(), Mode::Train(recipe));
    let lines_of = |work| lines(&plan.program_of(work, 7).unwrap());
    let shard = |index| {
        Work::Shard(Shard { index, batch: 7, present: 4, is_mixed: false, begins: index == 3 })
    };
    let second = lines_of(shard(3));
    insta::assert_snapshot!(second.join("\n"), @r#"
    statistics: scale s0 -> s0#3
    statistics: scale s1 -> s1#3
    statistics: scale s2 -> s2#3
    statistics: scale s3 -> s3#3
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m1
    b: batch-norm m1 p2 p3 -> *s0#3 *s1#3 t2 m4 aux3
    d: conv2d m4 p4 p5 -> m6 aux5
    e: batch-norm m6 p6 p7 -> *s2#3 *s3#3 t7 m9 aux8
    f: linear m9 p8 p9 -> m11 aux10
    logits: softmax m11 labels -> metrics#3 m12
    f: linear' m9 p8 m12 aux10 -> t13 t14 m15
    gradients: scale t13 -> t16
    gradients: blend t16 -> *sum8
    gradients: scale t14 -> t17
    gradients: blend t17 -> *sum9
    gradients: sum  -> *sum8 *sum9
    e: batch-norm' m6 p6 t7 m15 aux8 -> t18 t19 m20
    d: conv2d' m4 p4 m20 aux5 -> t21 t22
    gradients: scale t21 -> t23
    gradients: blend t23 -> *sum4
    gradients: scale t22 -> t24
    gradients: blend t24 -> *sum5
    gradients: scale t18 -> t25
    gradients: blend t25 -> *sum6
    gradients: scale t19 -> t26
    gradients: blend t26 -> *sum7
    "#);
    let after_loss = second.iter().position(|line| line.contains("softmax")).unwrap();
    let first = lines_of(shard(2));
    let ends = first[after_loss..].iter().filter(|line| line.starts_with("gradients"));
    insta::assert_snapshot!(Vec::from_iter(ends.cloned()).join("\n"), @r#"
    gradients: scale t13 -> sum8
    gradients: scale t14 -> sum9
    gradients: scale t19 -> sum4
    gradients: scale t20 -> sum5
    gradients: scale t16 -> sum6
    gradients: scale t17 -> sum7
    "#);
    insta::assert_snapshot!(lines_of(Work::Update { batch: 7, begun: true }).join("\n"), @r#"
    shards: gather metrics#2 s0#2 s1#2 s2#2 s3#2 metrics#3 s0#3 s1#3 s2#3 s3#3 -> metrics#0 s0#0 s1#0 s2#0 s3#0 metrics#1 s0#1 s1#1 s2#1 s3#1
    gradients: sum  -> *sum4 *sum5 *sum6 *sum7
    statistics: blend s0#0 -> *s0
    statistics: blend s1#0 -> *s1
    statistics: blend s2#0 -> *s2
    statistics: blend s3#0 -> *s3
    statistics: blend s0#1 -> *s0
    statistics: blend s1#1 -> *s1
    statistics: blend s2#1 -> *s2
    statistics: blend s3#1 -> *s3
    statistics: blend s0#2 -> *s0
    statistics: blend s1#2 -> *s1
    statistics: blend s2#2 -> *s2
    statistics: blend s3#2 -> *s3
    statistics: blend s0#3 -> *s0
    statistics: blend s1#3 -> *s1
    statistics: blend s2#3 -> *s2
    statistics: blend s3#3 -> *s3
    d: sgd sum4 -> *p4
    d: sgd sum5 -> *p5
    e: sgd sum6 -> *p6
    e: sgd sum7 -> *p7
    f: sgd sum8 -> *p8
    f: sgd sum9 -> *p9
    "#);
    // Of a short batch it has no shard.
    let short = lines_of(Work::Update { batch: 4, begun: false });
    insta::assert_snapshot!(short[..4].join("\n"), @r#"
    gradients: sum  -> *sum8 *sum9
    shards: gather  -> metrics#0 s0#0 s1#0 s2#0 s3#0 metrics#1 s0#1 s1#1 s2#1 s3#1
    gradients: sum  -> *sum4 *sum5 *sum6 *sum7
    statistics: blend s0#0 -> *s0
    "#);
}

/// The first of two ranks. Of two fully connected layers, the factors of one are few.
#[test]
fn factors_are_exchanged() {
    let wide = Layer::Linear { name: "d".into(), out_features: 64, relu: true };
    let vgg = network(vec![conv("a", true), pool("b"), pool("c"), wide, linear("e", false)]);
    let shards = vgg_tensor::ranks::Shards::new(2, 0, 2).unwrap();
    let all = Recipe { shards, ..Recipe::from(SgdConfig::plain(0.1)) };
    let shard =
        Work::Shard(Shard { index: 0, batch: 4, present: 2, is_mixed: false, begins: true });
    let of = |recipe: &Recipe, work| lines_of(&vgg, Mode::Train(recipe.clone()), work);
    let lines = of(&all, shard);
    let after_loss = lines.iter().position(|line| line.contains("softmax")).unwrap() + 1;
    insta::assert_snapshot!(lines[after_loss..].join("\n"), @r#"
    e: linear' m6 p4 m9 aux7 -> t10 t11 m12
    d: linear' m4 m12 aux5 -> *x2 *dsums2
    d: linear' p2 m12 aux5 -> m13
    gradients: scale t10 -> sum4
    gradients: scale t11 -> sum5
    gradients: gather  -> *x2 *dsums2
    gradients: sum  -> *sum4 *sum5
    c: max-pool' m13 aux3 -> m14
    a: conv2d' m0 p0 m14 aux1 -> t15 t16
    gradients: scale t15 -> sum0
    gradients: scale t16 -> sum1
    "#);
    let update = of(&all, Work::Update { batch: 4, begun: true });
    insta::assert_snapshot!(update.join("\n"), @r#"
    shards: gather metrics#0 -> metrics#1
    gradients: sum  -> *sum0 *sum1
    d: linear x2 dsums2 aux -> *p2 t0
    a: sgd sum0 -> *p0
    a: sgd sum1 -> *p1
    d: sgd t0 -> *p3
    e: sgd sum4 -> *p4
    e: sgd sum5 -> *p5
    "#);
    // Where all gradients are needed as a whole, they are stored.
    let clipped = Recipe { clip_norm: Some(1.0), ..all.clone() };
    let update = of(&clipped, Work::Update { batch: 4, begun: false });
    insta::assert_snapshot!(update[..6].join("\n"), @r#"
    gradients: gather  -> *x2 *dsums2
    gradients: sum  -> *sum4 *sum5
    shards: gather metrics#0 -> metrics#1
    gradients: sum  -> *sum0 *sum1
    d: linear x2 p2 dsums2 aux -> t0 t1
    gradients: clip  -> *sum0 *sum1 *t0 *t1 *sum4 *sum5
    "#);
    // Nobody asks for the gradient of what frozen layers make.
    let frozen = Recipe { freeze: vec!["a".into()], ..all };
    insta::assert_snapshot!(of(&frozen, shard)[after_loss..].join("\n"), @r#"
    e: linear' m4 p4 m7 aux5 -> t8 t9 m10
    d: linear' m2 m10 aux3 -> *x2 *dsums2
    gradients: scale t8 -> sum4
    gradients: scale t9 -> sum5
    gradients: gather  -> *x2 *dsums2
    gradients: sum  -> *sum4 *sum5
    "#);
}
