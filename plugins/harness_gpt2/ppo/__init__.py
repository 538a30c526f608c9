"""The trainer `ppo`: Proximal Policy Optimization on the scorers that evaluate."""
