"""What is asked, and what is answered: the commands and the rooms behind them."""
