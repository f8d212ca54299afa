"""Comparisons of arms over seeds: statistics, figures, report."""
