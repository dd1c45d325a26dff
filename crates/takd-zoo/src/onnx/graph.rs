//! A graph while it is being put together: nodes in their order, and the tensors that they read.

use crate::onnx::proto::{Attribute, DataType, Node, Tensor};

/// Nodes and constants of a graph.
#[derive(Default)]
pub(crate) struct Builder {
    pub nodes: Vec<Node>,
    pub constants: Vec<Tensor>,
}

impl Builder {
    /// Adds a node of one output, which has the node's name. Returns that.
    pub(crate) fn node(&mut self, operator: &str, name: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    /// Adds a node that makes 32-bit floats of its input.
    pub(crate) fn cast_to_floats(&mut self, name: &str, input: &str) -> String {
        self.node("Cast", name, &[input], vec![Attribute::int("to", DataType::Float as i64)])
    }

    /// Adds a constant. Returns its name.
    pub(crate) fn constant(&mut self, name: &str, dims: &[usize], data_type: DataType, bytes: Vec<u8>) -> String {
        let dims = dims.iter().map(|&dim| dim as i64).collect();
        let tensor = Tensor { dims, data_type: data_type as i32, name: name.to_owned(), raw_data: Some(bytes) };
        self.constants.push(tensor);
        name.to_owned()
    }

    /// Adds a constant of 32-bit floats. Returns its name.
    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, DataType::Float, bytes)
    }
}
