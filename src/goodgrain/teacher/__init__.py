"""Ask a teacher model which instructions are worth keeping, once and within a budget."""

from goodgrain.teacher.cache import AnswerCache, Ledger
from goodgrain.teacher.client import Client
from goodgrain.teacher.clusters import ClusterRanking, ClusterRankings, Teacher, rank_clusters, ranking_requests
from goodgrain.teacher.cost import CostCap, Estimate, Prices
from goodgrain.teacher.messages import Answer, ChatRequest, Failure, Message, Requests
from goodgrain.teacher.prompts import CRITERIA, RankingPrompt
from goodgrain.teacher.ranking import Ranking, combine_rankings, parse_ranking

__all__ = [
    "CRITERIA",
    "Answer",
    "AnswerCache",
    "ChatRequest",
    "Client",
    "ClusterRanking",
    "ClusterRankings",
    "CostCap",
    "Estimate",
    "Failure",
    "Ledger",
    "Message",
    "Prices",
    "Ranking",
    "RankingPrompt",
    "Requests",
    "Teacher",
    "combine_rankings",
    "parse_ranking",
    "rank_clusters",
    "ranking_requests",
]
