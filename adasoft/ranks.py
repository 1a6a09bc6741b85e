"""Ids to ranks and back: the tables of a module that knows its words by rank, and the rule for them in a checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def target_ranks(target: Tensor, n_classes: int, ignore_index: int, rank_of_id: Tensor | None) -> Tensor:
    """Targets as ranks: ``V`` stands for an ignored token, ``-1`` or ``V + 1`` for one out of range.

    ``target`` (N,) holds the user's ids, ``rank_of_id`` (V,) or None maps them to ranks. Shape (N,), int64.
    """
    ids = target.long().contiguous()  # searchsorted needs contiguous input
    ranks = ids.clamp(-1, n_classes)
    if rank_of_id is not None:
        # out-of-range ids must not index the table: they look up another's rank, and do not keep it
        inside = ids.clamp(0, n_classes - 1)
        ranks = torch.where(inside == ids, rank_of_id.index_select(0, inside), ranks)
    ranks = ranks.masked_fill(ids >= n_classes, n_classes + 1)
    if target.dtype == torch.uint64 and ignore_index < 0:
        return ranks  # ids from 2^63 on have come out negative: out of range, and not what is ignored
    # the comparison is made on the user's ids, so that ignore_index may also be a class
    return ranks.masked_fill(ids == ignore_index, n_classes)


class RankTables(nn.Module):
    """Base of the modules whose weights lie by rank while their users speak of ids.

    Tables are integers that are never learnt: which id has which rank, where a cluster begins. They are plain
    attributes and no buffers, so that nothing that walks over the buffers (an average of models, a cast, a broadcast)
    changes them. They follow the weights to their device, and come to life with a module made on the meta device.

    ``order`` (V,), the ids by falling frequency, or None where an id is its rank, is one key of ``state_dict``, as a
    copy. On loading it is compared and never taken: a checkpoint with another order belongs to other words, and is
    refused; one without the key loads.
    """

    #: Tables that are keys of ``state_dict``. A subclass that adds some takes them from a checkpoint itself.
    _stored: tuple[str, ...] = ("order",)

    order: Tensor | None
    _ranks: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[str, Tensor | None] = {}  # on the host
        self.register_load_state_dict_post_hook(_follow_weights)  # type: ignore[no-untyped-call]

    def _keep(self, **tables: Tensor | None) -> None:
        """Make attributes of the tables, beside the weights. They are copied."""
        for name, table in tables.items():
            self._tables[name] = None if table is None else table.to("cpu", copy=True)
        self._place_tables()

    def _keep_order(self, order: Tensor | None) -> None:
        """``order`` and its inverse ``_ranks``, the rank of each id."""
        self._keep(order=order, _ranks=None if order is None else order.argsort())

    def _ids(self, ranks: Tensor) -> Tensor:
        """The users' ids of some ranks, of any shape."""
        order = self._table("order", ranks.device)
        return ranks if order is None else order[ranks]  # type: ignore[no-any-return]

    def _home(self) -> torch.device:
        """Where the weights are."""
        for values in (self.parameters(), self.buffers()):
            for value in values:
                return value.device
        return torch.device("cpu")

    def _place_tables(self) -> None:
        # From the host each time: what was on the meta device holds nothing.
        for name, table in self._tables.items():
            setattr(self, name, None if table is None else table.to(self._home(), copy=True))

    def _table(self, name: str, device: torch.device) -> Any:
        """A table on the device of the input: the module's, unless its weights are moved about behind its back."""
        placed = getattr(self, name)
        if placed is None or placed.device == device:
            return placed
        placed = self._tables[name].to(device)  # type: ignore[union-attr]
        if not torch.compiler.is_compiling():
            setattr(self, name, placed)  # a replica of DataParallel has attributes of its own
        return placed

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._place_tables()
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name in self._stored:
            table = self._tables[name]
            if table is not None:
                # a copy: some averages of models write into what state_dict gives
                destination[prefix + name] = table.to(getattr(self, name).device, copy=True)
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing: Any,
        unexpected: Any,
        errors: Any,
    ) -> None:
        key = prefix + "order"
        if key in state_dict:
            fault = self._fault_in_order(state_dict[key])
            if fault:
                errors.append(f"{key} of the checkpoint {fault}. Build it with order=checkpoint[{key!r}]")
        tables = {prefix + name for name in self._stored}
        rest = {k: v for k, v in state_dict.items() if k not in tables}
        super()._load_from_state_dict(rest, prefix, local_metadata, strict, missing, unexpected, errors)

    def _fault_in_order(self, stored: Any) -> str | None:
        """What keeps the weights of a checkpoint of this order from being those of this module's words."""
        if not isinstance(stored, Tensor) or stored.is_complex() or stored.dtype == torch.bool:
            return f"should be a tensor of ids, got {getattr(stored, 'dtype', type(stored).__name__)}"
        n_words = self._n_words()
        if stored.shape != (n_words,):
            return f"should hold {n_words} ids, got the shape {tuple(stored.shape)}"
        if stored.is_meta:
            return None  # there a table has a shape only
        stored = stored.detach().cpu()
        if stored.is_floating_point():  # an average of checkpoints: of equal orders, up to rounding
            stored = stored.double().round()
        order = self._tables["order"]
        own = torch.arange(n_words, device="cpu") if order is None else order
        differs = (stored != own).nonzero()
        if not len(differs):
            return None
        at = int(differs[0])
        has = "has no order (an id is its rank)" if order is None else f"has {int(own[at])} there"
        return f"differs from this module's: its rank {at} is id {stored[at].item():.0f}, this module {has}"

    def _n_bytes(self) -> int:
        """Bytes of all weights and tables."""
        tables = (getattr(self, name) for name in self._tables)
        return sum(v.nbytes for v in (*self.parameters(), *self.buffers(), *tables) if v is not None)

    def _n_words(self) -> int:
        """V."""
        return int(self.n_classes)  # type: ignore[arg-type]


def _follow_weights(module: RankTables, _: Any) -> None:
    home = module._home()
    for name, table in module._tables.items():
        if table is not None and getattr(module, name).device != home:
            module._place_tables()
            return


def checked_order(order: Any, n_words: int) -> Tensor:
    """``order`` (V,) as an int64 tensor on the host. Raises ValueError if it does not hold each id once."""
    ids: Any = order.detach().cpu() if isinstance(order, Tensor) else np.asarray(order)
    if isinstance(ids, Tensor) and not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool):
        ids = ids.numpy()
    if isinstance(ids, Tensor) or ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"order should be a 1-D sequence of integer ids, got dtype {ids.dtype}, shape {tuple(ids.shape)}"
        )
    if np.ma.is_masked(order):
        raise ValueError(f"order should hold all {n_words} ids, got an array where some are masked")
    if len(ids) != n_words:
        raise ValueError(f"order should hold all {n_words} ids, got {len(ids)}")
    beyond = np.flatnonzero((ids < 0) | (ids >= n_words))
    if len(beyond):
        at = beyond[0]
        raise ValueError(f"order should hold each id from 0 to {n_words - 1} once, got {ids[at]} at place {at}")
    ids = ids.astype(np.int64)  # a copy
    seen = np.bincount(ids, minlength=n_words)
    if seen.max() > 1:
        twice, missing = seen.argmax(), seen.argmin()
        raise ValueError(
            f"order should hold each id from 0 to {n_words - 1} once, got {twice} twice and {missing} not at all"
        )
    return torch.as_tensor(ids, device="cpu")
