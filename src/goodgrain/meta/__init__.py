"""How to weigh purity against informativeness when a query set is chosen: MQNet (chapter 4), and fixed rules."""

from goodgrain.meta.combinations import COMBINATIONS, Combination
from goodgrain.meta.inputs import meta_input
from goodgrain.meta.query_net import MetaQueryNet

__all__ = ["COMBINATIONS", "Combination", "MetaQueryNet", "meta_input"]
