"""A shop: customers, products, orders and their lines. Realistic, and made to be queried."""
