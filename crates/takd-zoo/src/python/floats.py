

def floats(tensors):
    """The tensors of model.safetensors as 32-bit floats: 8-bit weights are multiplied with the scale of their channel."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(".scale"):
            continue
        if tensor.dtype == torch.int8:
            scale = tensors[name + ".scale"]
            tensor = tensor.float() * scale.reshape([-1] + [1] * (tensor.dim() - 1))
        result[name] = tensor.float() if tensor.is_floating_point() else tensor
    return result
