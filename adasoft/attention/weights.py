"""The projections of one attention layer, per head, and what keeps a layer from being computed as EL-attention."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ..children import bare

#: Parts of names of children or attributes, and why EL-attention does not hold for a layer that has them.
_BREAKS = {
    "rot": "rotary positions: a rotation that depends on the position stands between query and key projection",
    "rope": "rotary positions: a rotation that depends on the position stands between query and key projection",
    "q_norm": "a norm on queries: it stands between query and key projection",
    "k_norm": "a norm on keys: it stands between query and key projection",
    "query_norm": "a norm on queries: it stands between query and key projection",
    "key_norm": "a norm on keys: it stands between query and key projection",
    "norm_q": "a norm on queries: it stands between query and key projection",
    "norm_k": "a norm on keys: it stands between query and key projection",
}


@dataclass(frozen=True)
class AttentionWeights:
    """Weights of attention with H heads; keys and values have G groups of H/G heads each (G = H unless grouped).

    Sizes: queries come from vectors of size d, keys and values from vectors of size d_x (d in self-attention).

    Args:
        query: (H, d_h, d).
        key: (G, d_h, d_x); head i belongs to group ``i // (H / G)``.
        value: (G, d_v, d_x).
        output: (d, H * d_v).
        query_bias: (H, d_h), or None.
        key_bias: (G, d_h), or None. It changes nothing: it adds the same to the scores of all positions.
        value_bias: (G, d_v), or None.
        output_bias: (d,), or None.

    Raises ValueError if the shapes do not fit each other.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    query_bias: Tensor | None = None
    key_bias: Tensor | None = None
    value_bias: Tensor | None = None
    output_bias: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("query", "key", "value"):
            weight: Tensor = getattr(self, name)
            if weight.dim() != 3 or not weight.numel():
                raise ValueError(f"{name} should have the shape (heads, size, size), got {tuple(weight.shape)}")
        heads, d_h, _ = self.query.shape
        groups, _, d_x = self.key.shape
        if heads % groups:
            raise ValueError(f"key should have a number of groups that divides the {heads} heads, got {groups}")
        d_v = self.value.shape[1]
        rules: dict[str, tuple[int, ...]] = {
            "key": (groups, d_h, d_x),
            "value": (groups, d_v, d_x),
            "output": (len(self.output), heads * d_v),
            "query_bias": (heads, d_h),
            "key_bias": (groups, d_h),
            "value_bias": (groups, d_v),
            "output_bias": (len(self.output),),
        }
        for name, shape in rules.items():
            found: Tensor | None = getattr(self, name)
            if found is not None and found.shape != shape:
                raise ValueError(f"{name} should have the shape {shape}, got {tuple(found.shape)}")

    @property
    def n_heads(self) -> int:
        """H."""
        return self.query.shape[0]

    @property
    def n_groups(self) -> int:
        """G."""
        return self.key.shape[0]

    @property
    def in_features(self) -> int:
        """d, size of what is asked with."""
        return self.query.shape[2]

    @property
    def memory_features(self) -> int:
        """d_x, size of what is attended to."""
        return self.key.shape[2]

    @classmethod
    def of(cls, module: nn.Module) -> AttentionWeights:
        """Those of an ``nn.MultiheadAttention``, or of the one in an ``nn.TransformerEncoderLayer``: views, no copies.

        >>> weights = AttentionWeights.of(nn.MultiheadAttention(6, 3))
        >>> weights.query.shape, weights.output.shape
        (torch.Size([3, 2, 6]), torch.Size([6, 6]))

        PyTorch stacks the rows of query, key and value projection in ``in_proj_weight`` (3 d, d), head after head.
        Gradients flow to the module unless this is called under ``torch.no_grad``.

        Raises ValueError, with the reason, where the rearranged products would not be those of the module: rotary
        positions, a norm on queries or keys, another class or anything attached to it, keys and values of different
        inputs or with rows of their own (``bias_k``, ``add_zero_attn``), dropout in training.
        """
        if type(module) is nn.TransformerEncoderLayer:
            module = module.self_attn
        if not isinstance(module, nn.MultiheadAttention) or not bare(module, nn.MultiheadAttention):
            raise ValueError(f"module should be an nn.MultiheadAttention and no more, got {_reason(module)}")
        _check(module)
        d, heads = module.embed_dim, module.num_heads
        if module.in_proj_weight is not None:
            query, key, value = module.in_proj_weight.chunk(3)
        else:
            query, key, value = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
        bias = module.in_proj_bias
        query_bias, key_bias, value_bias = (None, None, None) if bias is None else bias.view(3, heads, d // heads)
        return cls(
            query.view(heads, d // heads, -1),
            key.view(heads, d // heads, -1),
            value.view(heads, d // heads, -1),
            module.out_proj.weight,
            query_bias,
            key_bias,
            value_bias,
            module.out_proj.bias,
        )


def _check(module: nn.MultiheadAttention) -> None:
    refused = {
        "bias_k=None (its row of keys and values comes from no input)": module.bias_k is not None,
        "add_zero_attn=False (its row of zeros comes from no input)": module.add_zero_attn,
        f"kdim and vdim equal (one X serves both), got {module.kdim} and {module.vdim}": module.kdim != module.vdim,
        "an out_proj with nothing attached": not bare(module.out_proj, NonDynamicallyQuantizableLinear),
        f"dropout=0 in training (rows of weights would no longer sum to 1), got {module.dropout}": module.training
        and module.dropout > 0,
    }
    for rule, broken in refused.items():
        if broken:
            raise ValueError(f"module should have {rule}")


def _reason(module: nn.Module) -> str:
    """What kind of module it is, with the reason why that breaks EL-attention where its names tell."""
    names = [name.lower() for name in (*vars(module), *module._modules)]
    for part, reason in _BREAKS.items():
        if any(name.startswith(part) or f"_{part}" in name for name in names):
            return f"{type(module).__name__} with {reason}"
    if isinstance(module, nn.MultiheadAttention) and type(module) is nn.MultiheadAttention:
        return "one with a hook or a forward of its own"
    return f"{type(module).__name__}, which may do something between query and key projection"
