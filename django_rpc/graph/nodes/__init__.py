"""Node kinds of the expression graph, one module for each family."""

from django_rpc.graph.nodes.base import (
    ALL_KINDS,
    KINDS,
    LOCAL_KINDS,
    Effect,
    Node,
    Place,
    ServiceNode,
    WireRole,
    link_of,
    nodes_in,
    own_fields,
)
from django_rpc.graph.nodes.callsite import callsite, is_own_module
from django_rpc.graph.nodes.collections import Element, Filter, IfElse, Map, Reduce
from django_rpc.graph.nodes.local import LocalCall, LocalNode, Opaque
from django_rpc.graph.nodes.method import Call, Method
from django_rpc.graph.nodes.pickled_function import Shipped
from django_rpc.graph.nodes.remote_function import Function, ServiceCall
from django_rpc.graph.nodes.rows import Column, Rows
from django_rpc.graph.nodes.service import DescribeModels, RequestOutcome, ServiceInfo
from django_rpc.graph.nodes.source import ModelSource
from django_rpc.graph.nodes.values import Attr, Item, Literal, Operator
from django_rpc.graph.nodes.write import Insert, Save

__all__ = [
    "ALL_KINDS",
    "KINDS",
    "LOCAL_KINDS",
    "Attr",
    "Call",
    "Column",
    "DescribeModels",
    "Effect",
    "Element",
    "Filter",
    "Function",
    "IfElse",
    "Insert",
    "Item",
    "Literal",
    "LocalCall",
    "LocalNode",
    "Map",
    "Method",
    "ModelSource",
    "Node",
    "Opaque",
    "Operator",
    "Place",
    "Reduce",
    "RequestOutcome",
    "Rows",
    "Save",
    "ServiceCall",
    "ServiceInfo",
    "ServiceNode",
    "Shipped",
    "WireRole",
    "callsite",
    "is_own_module",
    "link_of",
    "nodes_in",
    "own_fields",
]
