"""Plots of training and evaluation; pyqtgraph is loaded when the first plot is built."""
