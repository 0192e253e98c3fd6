"""The listening test of table 4: a page that collects blinded ratings, what they add up to, and a stand-in for both."""
