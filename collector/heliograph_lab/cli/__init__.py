"""Commands of the lab, which `heliograph-collector` loads by name.

heliograph-collector evaluate --seeds 100
heliograph-collector simulate cut-in-five.yml --agents 10000
"""
