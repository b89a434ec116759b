"""One measurement for compare.py: an encoder in ONNX Runtime or OpenVINO.

    reference_onnx.py export FOLDER WORK MODEL BATCH CAPTION_TOKENS
    reference_onnx.py onnxruntime|openvino FILE REPEATS THREADS

`export` writes what the others run, by open_clip's model with random weights: model.onnx, image_size, ONNX Runtime's
int8.onnx (weights for each output channel, activations as they come) and OpenVINO's int8.xml (activations by the range
of one random batch). The others print the median seconds and the most memory the process ever held as JSON.
"""

import json
import os
import sys

import numpy
from measure import measure


def main():
    framework, *words = sys.argv[1:]
    if framework == "export":
        folder, work, model, batch, caption_tokens = words
        export(folder, work, model, int(batch), int(caption_tokens))
        print(json.dumps({}))
    else:
        file, repeats, threads = words
        inputs = numpy.load(os.path.join(os.path.dirname(file), "inputs.npy"))
        session = {"onnxruntime": onnxruntime_session, "openvino": openvino_session}[framework]
        encode = session(file, inputs, int(threads))
        assert numpy.isfinite(encode()).all(), "no embeddings"
        measure(encode, int(repeats))


def export(folder, work, name, batch, caption_tokens):
    import reference
    import torch

    reference.quiet()
    torch.manual_seed(0)
    model = reference.create(name).eval()
    if work == "encode_image":
        encoder, inputs = model.visual, reference.pictures(name, model, batch).contiguous()
    else:
        encoder, inputs = Texts(model), reference.captions(model, batch, caption_tokens)
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(encoder, inputs, path, input_names=["inputs"], dynamo=False)
    numpy.save(os.path.join(folder, "inputs.npy"), inputs.numpy())
    with open(os.path.join(folder, "image_size"), "w") as file:
        file.write(str(inputs.shape[-1]))
    quantize(folder, path, inputs.numpy())


def Texts(model):
    """The text encoder as a module of its own."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, texts):
            return self.model.encode_text(texts)

    return Encoder()


def quantize(folder, path, inputs):
    from onnxruntime.quantization import QuantType, quantize_dynamic, quant_pre_process

    prepared = os.path.join(folder, "prepared.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, os.path.join(folder, "int8.onnx"), per_channel=True, weight_type=QuantType.QInt8,
                     op_types_to_quantize=["MatMul", "Gemm"])
    try:
        import nncf
        import openvino
    except ImportError:
        return
    model = openvino.Core().read_model(path)
    model = nncf.quantize(model, nncf.Dataset([inputs]), model_type=nncf.ModelType.TRANSFORMER, subset_size=1)
    openvino.save_model(model, os.path.join(folder, "int8.xml"), compress_to_fp16=False)


def onnxruntime_session(file, inputs, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"inputs": inputs})[0]


def openvino_session(file, inputs, threads):
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(file, "CPU", hints)
    return lambda: model(inputs)[0]


if __name__ == "__main__":
    main()
