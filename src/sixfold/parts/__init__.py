"""What the steps hand to one another: tables, targets, fits, fitted states, and the one graph they
all export into.
"""
