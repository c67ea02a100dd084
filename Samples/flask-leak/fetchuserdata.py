from json.encoder import encode_basestring_ascii as to_json

answers = []

def get_data(user):
    answers.append(to_json(user.ljust(40_000)))  # for a cache that nobody asks
    return answers[-1]
