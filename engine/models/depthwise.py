"""Depthwise convolutions whose backward pass is not slow in bfloat16 on a processor.

oneDNN, which torch computes convolutions with on processors, has no fast bfloat16 kernels for two
gradients of depthwise convolutions: that of the weight for kernels over 3 x 3, and that of the
input for strides over 1. They fall back to plain loops that take 4 to 40 times as long as float32
and dominate the training of EfficientNets and MobileNets. Only those two are computed in float32
here; everything else stays as it is.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FAST_KERNEL = 3


def quicken_depthwise(network: nn.Module) -> None:
    """Replace the depthwise convolutions in a network; parameters and their names stay."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if _is_depthwise(child):
                setattr(module, name, DepthwiseConv2d(child))


def _is_depthwise(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == module.in_channels == module.out_channels > 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and (module.kernel_size[0] > _FAST_KERNEL or module.stride[0] > 1)
    )


class DepthwiseConv2d(nn.Module):
    """A depthwise convolution; weight and bias are those of the layer it replaces."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if not isinstance(layer, nn.Conv2d) or not isinstance(layer.padding, tuple):
            raise ValueError("only convolutions with a fixed padding can be replaced")
        self.weight = layer.weight
        self.bias = layer.bias
        self.stride = layer.stride
        self.padding = layer.padding
        # timm's layer for TensorFlow's padding, which depends on the size of the input.
        self.pads_to_same = type(layer).__name__ == "Conv2dSame"

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved maps, as ``nn.Conv2d`` would."""
        if self.pads_to_same:
            x = self._padded(x)
        if x.is_cpu and torch.is_grad_enabled() and _autocasts_to_bf16():
            y: Tensor = _Depthwise.apply(x, self.weight, self.stride, self.padding)
            return y if self.bias is None else y + self.bias.to(y.dtype).view(1, -1, 1, 1)
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, 1, self.weight.shape[0]
        )

    def _padded(self, x: Tensor) -> Tensor:
        height, width = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, stride, kernel in zip(
                x.shape[2:], self.stride, self.weight.shape[2:], strict=True
            )
        )
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _autocasts_to_bf16() -> bool:
    is_on = torch.is_autocast_enabled("cpu")
    return is_on and torch.get_autocast_dtype("cpu") == torch.bfloat16


class _Depthwise(torch.autograd.Function):
    """Forward in bfloat16, each gradient in the precision in which it is fast."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        x = x.to(torch.bfloat16)
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight.to(x.dtype), None, stride, padding, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        dtype_x = torch.float32 if max(ctx.stride) > 1 else torch.bfloat16
        dtype_w = torch.float32 if max(weight.shape[2:]) > _FAST_KERNEL else torch.bfloat16

        def gradients(dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
            mask = [wants_x and dtype == dtype_x, wants_weight and dtype == dtype_w, False]
            if not any(mask):
                return None, None
            result = torch.ops.aten.convolution_backward(
                *(tensor.to(dtype) for tensor in (gradient, x, weight)),
                None,
                ctx.stride,
                ctx.padding,
                [1, 1],
                False,
                [0, 0],
                weight.shape[0],
                mask,
            )
            return result[0], result[1]

        in_bf16, in_fp32 = gradients(torch.bfloat16), gradients(torch.float32)
        of_x = in_fp32[0] if in_bf16[0] is None else in_bf16[0]
        of_weight = in_fp32[1] if in_bf16[1] is None else in_bf16[1]
        return (
            None if of_x is None else of_x.to(x.dtype),
            None if of_weight is None else of_weight.to(weight.dtype),
            None,
            None,
        )
