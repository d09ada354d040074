"""Blocking detector: incidents of services that stop working in a cell.

detector = BlockingDetector(since_us)
in_time = [vote for vote in votes if detector.add_vote(vote)]
detector.close_bins(until_us)
incidents = detector.incidents()
"""
