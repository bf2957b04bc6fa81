//! What a file says of its network's layers: the JSON that Keras keeps beside the weights.
//!
//! It says what weights do not: where the pools are, in which order layers of equal shapes follow, and
//! what is computed between them. A VGG's layers here are a chain of 3×3 (or 1×1) convolutions that keep
//! the maps' size, each with a normalisation or none, then ReLU, in blocks that a 2×2 max-pool ends;
//! then fully connected layers. Whatever is else would be another network with the same weights.

use serde_json::Value;

/// A network as its layers follow.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Network {
    pub(super) steps: Vec<Step>,
    /// Rows, and columns, of its images, if it says them.
    pub(super) side: Option<usize>,
    /// Whether the last maps' averages are classified.
    pub(super) pooled: bool,
    /// How many max-pools it has, if that is known and not where they are.
    pub(super) pools: Option<usize>,
    /// What its normalisations add to variances, if they say it.
    pub(super) epsilon: Option<f64>,
}

/// A layer that matters, by its name in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Conv(String),
    Norm(String),
    Pool,
    Dense(String),
}

/// Longer ones are of no VGG. A value takes a hundred times its text in memory.
const MAX_CONFIG: usize = 1 << 20;

/// Layers that change nothing where nothing is trained.
const FOR_TRAINING: [&str; 12] = [
    "InputLayer",
    "Dropout",
    "SpatialDropout2D",
    "GaussianDropout",
    "GaussianNoise",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "ActivityRegularization",
];

/// Reads the configuration of a model.
///
/// # Errors
/// What is in it that no VGG has.
pub(super) fn read(json: &str) -> Result<Network, String> {
    if json.len() > MAX_CONFIG {
        return Err(format!("its configuration of {} bytes is too long for a VGG's", json.len()));
    }
    let model: Value = serde_json::from_str(json)
        .map_err(|error| format!("its configuration is damaged: {error}"))?;
    let mut reader = Reader::default();
    reader.model(&model)?;
    reader.end()
}

/// What the layers so far lead to.
#[derive(Default)]
struct Reader {
    network: Network,
    /// The layer whose sums no ReLU has followed yet.
    sums: Option<String>,
    /// Whether the maps have become one vector.
    flat: bool,
}

impl Reader {
    /// A model's layers, of which each takes what the one before gives.
    fn model(&mut self, model: &Value) -> Result<(), String> {
        let config = &model["config"];
        let class = model["class_name"].as_str().unwrap_or_default();
        // Keras 1 keeps a Sequential's layers as they are.
        let layers = config["layers"].as_array().or(config.as_array());
        let layers = layers.ok_or_else(|| {
            format!(
                "its network is a {class:?}, whose layers it does not say: no VGG is known by it"
            )
        })?;
        let is_graph = matches!(class, "Functional" | "Model");
        let mut before: Option<&str> = None;
        for layer in layers {
            let name = layer["config"]["name"].as_str().or(layer["name"].as_str());
            let name = name.unwrap_or_default();
            if is_graph {
                let inputs = inputs(&layer["inbound_nodes"]);
                if inputs != Vec::from_iter(before) {
                    return Err(format!(
                        "its layers are no chain, as a VGG's are: {name:?} takes what {inputs:?} give, \
                         and stands after {:?}",
                        before.unwrap_or_default()
                    ));
                }
                before = Some(name);
            }
            self.layer(layer, name)?;
        }
        let outputs = inputs(&config["output_layers"]);
        match is_graph && !outputs.is_empty() && outputs != Vec::from_iter(before) {
            true => {
                Err(format!("its outputs are those of {outputs:?}, not of its last layer alone"))
            }
            false => Ok(()),
        }
    }

    fn layer(&mut self, layer: &Value, name: &str) -> Result<(), String> {
        let class = layer["class_name"].as_str().unwrap_or_default();
        let config = &layer["config"];
        let differs = |how: &str| Err(format!("its layer {name:?} {how}, as no VGG's does here"));
        let order = config["data_format"].as_str().or(config["dim_ordering"].as_str());
        if matches!(order, Some("channels_first" | "th")) {
            return differs("has channels first");
        }
        // Keras 1 and 2 say it of the first layer, whichever it is.
        let shape = [&config["batch_shape"], &config["batch_input_shape"]];
        if let Some([_, h, w, _]) = shape.into_iter().find_map(Value::as_array).map(Vec::as_slice)
            && self.network.steps.is_empty()
        {
            if h != w {
                return differs(&format!("takes images of {h}×{w}, which are not square"));
            }
            self.network.side = h.as_u64().and_then(|side| side.try_into().ok());
        }
        match class {
            "Sequential" | "Functional" | "Model" => return self.model(layer),
            "Conv2D" | "Convolution2D" => {
                self.conv(config, name)?;
                return self.activation(&config["activation"], name);
            }
            "Dense" => {
                if !self.flat {
                    return differs("is fully connected and takes maps that are not flattened");
                }
                self.is_rectified(name)?;
                self.network.steps.push(Step::Dense(name.into()));
                self.sums = Some(name.into());
                return self.activation(&config["activation"], name);
            }
            "BatchNormalization" => {
                let of_conv = matches!(self.network.steps.last(), Some(Step::Conv(_)));
                if !of_conv || self.sums.is_none() {
                    return differs("does not normalise a convolution's sums, before their ReLU");
                }
                if [&config["scale"], &config["center"]].contains(&&Value::Bool(false)) {
                    return differs("normalises without gamma or beta");
                }
                let epsilon = config["epsilon"].as_f64();
                if self.network.epsilon.is_some() && self.network.epsilon != epsilon {
                    return differs("has another epsilon than the ones before");
                }
                self.network.epsilon = epsilon;
                self.network.steps.push(Step::Norm(name.into()));
            }
            "Activation" => return self.activation(&config["activation"], name),
            "Softmax" => return self.activation(&"softmax".into(), name),
            "ReLU" => {
                let is_zero = |key: &str| config[key].as_f64().unwrap_or_default() == 0.0;
                if !config["max_value"].is_null()
                    || !is_zero("negative_slope")
                    || !is_zero("threshold")
                {
                    return differs("is another ReLU");
                }
                self.sums = None;
            }
            "MaxPooling2D" => self.pool(config, name)?,
            "Flatten" | "GlobalAveragePooling2D" => {
                self.is_rectified(name)?;
                self.network.pooled = class != "Flatten";
                self.flat = true;
            }
            "Rescaling" => {
                let number = |key: &str| config[key].as_f64();
                let said = match number("scale").zip(number("offset")) {
                    // (pixel − mean) ÷ std of pixels from 0 to 1 is scale × pixel + offset of 0 to 255.
                    Some((scale, offset)) if scale > 0.0 => {
                        let std = 1.0 / (255.0 * scale);
                        let (mean, std) = (round(-offset * std), round(std));
                        format!(", and import them with --channels rgb --mean {mean} --std {std}")
                    }
                    _ => String::new(),
                };
                return Err(format!(
                    "its layer {name:?} scales pixels, which a VGG does not do here: save the layers \
                     after it alone{said}"
                ));
            }
            _ if FOR_TRAINING.contains(&class) => {}
            _ => return differs(&format!("is a {class:?}")),
        }
        Ok(())
    }

    fn conv(&mut self, config: &Value, name: &str) -> Result<(), String> {
        let differs = |how: String| Err(format!("its layer {name:?} {how}, as no VGG's does here"));
        let sides = match pair(&config["kernel_size"]) {
            Some(sides) => sides,
            None => [&config["nb_row"], &config["nb_col"]].map(|side| side.as_u64().unwrap_or(0)),
        };
        if self.flat {
            return differs("comes after the maps were flattened".into());
        }
        if sides != [1, 1] && sides != [3, 3] {
            return differs(format!("has kernels of {}×{}", sides[0], sides[1]));
        }
        let ones = ["strides", "subsample", "dilation_rate"];
        let is_one = |key: &str| pair(&config[key]).is_none_or(|pair| pair == [1, 1]);
        if let Some(key) = ones.into_iter().find(|key| !is_one(key)) {
            return differs(format!("has {key} other than 1"));
        }
        if config["groups"].as_u64().is_some_and(|groups| groups != 1) {
            return differs("divides its channels into groups".into());
        }
        let padding = config["padding"].as_str().or(config["border_mode"].as_str());
        if padding != Some("same") && sides != [1, 1] {
            return differs("makes maps smaller: its padding is not \"same\"".into());
        }
        self.is_rectified(name)?;
        self.network.steps.push(Step::Conv(name.into()));
        self.sums = Some(name.into());
        Ok(())
    }

    fn pool(&mut self, config: &Value, name: &str) -> Result<(), String> {
        let differs = |how: &str| Err(format!("its layer {name:?} {how}, as no VGG's does here"));
        let strides = pair(&config["strides"]).unwrap_or([2, 2]);
        if pair(&config["pool_size"]) != Some([2, 2]) || strides != [2, 2] {
            return differs("pools other than 2×2 places into one");
        }
        let pools = self.network.steps.iter().filter(|step| **step == Step::Pool).count();
        let maps = self.network.side.map(|side| side.checked_shr(pools as u32).unwrap_or(0));
        let padding = config["padding"].as_str().or(config["border_mode"].as_str());
        // It adds places to maps of odd sides alone.
        if padding == Some("same") && maps.is_none_or(|side| !side.is_multiple_of(2)) {
            return differs("pads maps that it pools");
        }
        if self.flat || matches!(self.network.steps.last(), None | Some(Step::Pool)) {
            return differs("pools what is of no convolution");
        }
        self.is_rectified(name)?;
        self.network.steps.push(Step::Pool);
        Ok(())
    }

    /// What is done to the sums of the layer before, or of this one.
    fn activation(&mut self, activation: &Value, name: &str) -> Result<(), String> {
        let said = activation.as_str().or(activation["config"].as_str());
        match said.or(activation["class_name"].as_str()) {
            Some("relu") => self.sums = None,
            Some("linear") | None => {}
            // It comes last: a network's outputs are compared as they are, and made probabilities by us.
            Some("softmax") if matches!(self.network.steps.last(), Some(Step::Dense(_))) => {}
            Some(other) => {
                return Err(format!(
                    "its layer {name:?} is followed by {other:?}: a VGG has ReLUs, and softmax at its end"
                ));
            }
        }
        Ok(())
    }

    /// Whether a ReLU followed the layer before the one of this name.
    fn is_rectified(&self, name: &str) -> Result<(), String> {
        match &self.sums {
            None => Ok(()),
            Some(sums) => Err(format!("no ReLU is between its layers {sums:?} and {name:?}")),
        }
    }

    fn end(self) -> Result<Network, String> {
        let Self { network, sums, .. } = self;
        let count =
            |kind: fn(&Step) -> bool| network.steps.iter().filter(|step| kind(step)).count();
        let (convs, norms) =
            (count(|s| matches!(s, Step::Conv(_))), count(|s| matches!(s, Step::Norm(_))));
        if norms != 0 && norms != convs {
            return Err(format!(
                "it normalises after {norms} of its {convs} convolutions, not all"
            ));
        }
        let body = network.steps.iter().rev().find(|step| !matches!(step, Step::Dense(_)));
        if body.is_some_and(|last| *last != Step::Pool) {
            return Err("no max-pool follows its last convolution, as one does in a VGG".into());
        }
        if let (Some(Step::Dense(last)), None) = (network.steps.last(), sums) {
            return Err(format!(
                "its last layer {last:?} is followed by ReLU: it tells no classes"
            ));
        }
        Ok(network)
    }
}

/// Four digits of a number, as an option's.
fn round(x: f64) -> f64 {
    // Without a sign where it is zero.
    (x * 1e4).round() / 1e4 + 0.0
}

/// Two numbers, or one for both.
fn pair(value: &Value) -> Option<[u64; 2]> {
    match value.as_array().map(Vec::as_slice) {
        Some([a, b]) => Some([a.as_u64()?, b.as_u64()?]),
        Some(_) => None,
        None => value.as_u64().map(|both| [both; 2]),
    }
}

/// The layers that a layer of a graph takes what they give, as `["conv2d", 0, 0]` somewhere within, of
/// which the versions of Keras put different things around.
fn inputs(nodes: &Value) -> Vec<&str> {
    match nodes {
        Value::Array(values) => match values.as_slice() {
            [Value::String(layer), Value::Number(_), Value::Number(_), ..] => vec![layer],
            values => values.iter().flat_map(inputs).collect(),
        },
        Value::Object(values) => values.values().flat_map(inputs).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A small VGG, in the words of Keras 2, of which `change` makes another network.
    fn read_with(change: impl Fn(&mut Vec<Value>)) -> Result<Network, String> {
        let conv = |name: &str| {
            json!({"class_name": "Conv2D", "config": {"name": name, "kernel_size": [3, 3],
                "strides": [1, 1], "padding": "same", "data_format": "channels_last",
                "dilation_rate": [1, 1], "activation": "linear"}})
        };
        let layer = |class: &str, config: Value| json!({"class_name": class, "config": config});
        let mut layers = vec![
            layer("InputLayer", json!({"name": "in", "batch_input_shape": [null, 8, 8, 3]})),
            conv("b"),
            layer("BatchNormalization", json!({"name": "n", "axis": [3], "epsilon": 0.002})),
            layer("Activation", json!({"name": "r", "activation": "relu"})),
            layer(
                "MaxPooling2D",
                json!({"name": "p", "pool_size": [2, 2], "strides": [2, 2],
                "padding": "valid"}),
            ),
            layer("Flatten", json!({"name": "f"})),
            layer("Dense", json!({"name": "a", "activation": "softmax"})),
        ];
        change(&mut layers);
        read(&json!({"class_name": "Sequential", "config": {"layers": layers}}).to_string())
    }

    #[test]
    fn layers_follow_as_they_are_said() {
        let expected = Network {
            steps: vec![
                Step::Conv("b".into()),
                Step::Norm("n".into()),
                Step::Pool,
                Step::Dense("a".into()),
            ],
            side: Some(8),
            pooled: false,
            pools: None,
            epsilon: Some(0.002),
        };
        assert_eq!(read_with(|_| {}).unwrap(), expected);
        // As Keras 1 says them, and within another model.
        let of_keras1 = json!({"class_name": "Sequential", "config": [
            {"class_name": "Convolution2D", "config": {"name": "c", "nb_row": 3, "nb_col": 3,
                "border_mode": "same", "subsample": [1, 1], "activation": "relu",
                "batch_input_shape": [null, null, null, 3]}},
            {"class_name": "MaxPooling2D", "config": {"name": "p", "pool_size": [2, 2]}}]});
        let body = [Step::Conv("c".into()), Step::Pool];
        let read_of = |model: &Value| read(&model.to_string());
        assert_eq!(read_of(&of_keras1).unwrap().steps, body);
        let around = json!({"class_name": "Sequential", "config": {"layers": [of_keras1,
            {"class_name": "GlobalAveragePooling2D", "config": {"name": "g"}}]}});
        let pooled = read_of(&around).unwrap();
        assert_eq!((pooled.steps, pooled.pooled, pooled.side), (body.to_vec(), true, None));
    }

    #[test]
    fn graphs_are_chains() {
        let layer = |name: &str, inbound: Value| {
            json!({"class_name": "Dropout", "name": name, "config": {"name": name},
                "inbound_nodes": inbound})
        };
        let of = |inbound: Value| {
            let layers = [
                layer("a", json!([])),
                layer("b", json!([[["a", 0, 0, {}]]])),
                layer("c", inbound),
            ];
            read(&json!({"class_name": "Functional", "config": {"layers": layers}}).to_string())
        };
        let history = |name: &str| {
            json!({"class_name": "__keras_tensor__",
            "config": {"shape": [null, 8], "keras_history": [name, 0, 0]}})
        };
        assert!(of(json!([[["b", 0, 0, {}]]])).is_ok());
        assert!(of(json!([{"args": [history("b")], "kwargs": {}}])).is_ok());
        for inbound in [
            json!([[["a", 0, 0, {}]]]),
            json!([[["b", 0, 0, {}], ["a", 0, 0, {}]]]),
            json!([{"args": [[history("b"), history("a")]], "kwargs": {}}]),
        ] {
            let reason = of(inbound).unwrap_err();
            assert!(reason.starts_with("its layers are no chain"), "{reason}");
        }
    }

    #[test]
    fn other_networks_are_told() {
        let refused = |expected: &str, change: &dyn Fn(&mut Vec<Value>)| {
            let reason = read_with(change).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        };
        let set = |at: usize, key: &'static str, value: Value| {
            move |layers: &mut Vec<Value>| layers[at]["config"][key] = value.clone()
        };
        refused("\"b\" has strides other than 1", &set(1, "strides", json!([2, 2])));
        refused("\"b\" has kernels of 5×5", &set(1, "kernel_size", json!([5, 5])));
        refused("makes maps smaller", &set(1, "padding", json!("valid")));
        refused("channels first", &set(1, "data_format", json!("channels_first")));
        refused("into groups", &set(1, "groups", json!(2)));
        refused("does not normalise a convolution's sums", &set(1, "activation", json!("relu")));
        refused("without gamma or beta", &set(2, "scale", json!(false)));
        refused("is followed by \"tanh\"", &set(3, "activation", json!("tanh")));
        refused("pools other than 2×2", &set(4, "pool_size", json!([3, 3])));
        refused("is followed by \"sigmoid\"", &set(6, "activation", json!("sigmoid")));
        refused("it tells no classes", &set(6, "activation", json!("relu")));
        refused("no ReLU is between its layers \"b\" and \"p\"", &|layers| drop(layers.remove(3)));
        refused("no max-pool follows", &|layers| drop(layers.remove(4)));
        refused("takes maps that are not flattened", &|layers| drop(layers.remove(5)));
        refused("images of 8×9", &set(0, "batch_input_shape", json!([null, 8, 9, 3])));
        refused("is a \"AveragePooling2D\"", &|layers| {
            layers[4]["class_name"] = json!("AveragePooling2D");
        });
        refused("--channels rgb --mean 0 --std 1", &|layers| {
            let config = json!({"name": "s", "scale": 1.0 / 255.0, "offset": 0.0});
            layers.insert(1, json!({"class_name": "Rescaling", "config": config}));
        });
        assert_eq!(read("[").unwrap_err().split(':').next(), Some("its configuration is damaged"));
        assert!(read("7").is_err());
    }
}
