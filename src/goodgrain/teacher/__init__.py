"""Ask a teacher model which instructions are worth keeping, once and within a budget."""

from goodgrain.teacher.cache import AnswerCache, Ledger
from goodgrain.teacher.client import Client
from goodgrain.teacher.clusters import ClusterRanking, ClusterRankings, rank_clusters, ranking_requests
from goodgrain.teacher.cost import CostCap, Estimate, Prices
from goodgrain.teacher.judging import Judgement, Judgements, JudgePrompt, judge_pairs, judging_requests
from goodgrain.teacher.messages import Answer, ChatRequest, Failure, Message, Requests, Teacher
from goodgrain.teacher.prompts import CRITERIA, RankingPrompt
from goodgrain.teacher.ranking import Ranking, combine_rankings, parse_ranking
from goodgrain.teacher.scoring import RowScores, ScorePrompt, parse_score, score_rows, scoring_requests
from goodgrain.teacher.verdicts import parse_verdict

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
    "JudgePrompt",
    "Judgement",
    "Judgements",
    "Ledger",
    "Message",
    "Prices",
    "Ranking",
    "RankingPrompt",
    "Requests",
    "RowScores",
    "ScorePrompt",
    "Teacher",
    "combine_rankings",
    "judge_pairs",
    "judging_requests",
    "parse_ranking",
    "parse_score",
    "parse_verdict",
    "rank_clusters",
    "ranking_requests",
    "score_rows",
    "scoring_requests",
]
